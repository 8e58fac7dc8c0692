/**
 * Where regions are: a metropolitan area, and a continent. What is not listed is unknown. From
 * https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html and
 * https://cloud.google.com/about/locations; AWS names states where Google names towns, so that an area is a broad one.
 */
type Place = { area: string; continent: string }

const table = `
af-south-1 cape-town africa | ap-east-1 hong-kong asia | ap-northeast-1 tokyo asia | ap-northeast-2 seoul asia
ap-northeast-3 osaka asia | ap-south-1 mumbai asia | ap-south-2 hyderabad asia | ap-southeast-1 singapore asia
ap-southeast-2 sydney oceania | ap-southeast-3 jakarta asia | ap-southeast-4 melbourne oceania | ca-central-1 montreal north-america
ca-west-1 calgary north-america | eu-central-1 frankfurt europe | eu-central-2 zurich europe | eu-north-1 stockholm europe
eu-south-1 milan europe | eu-south-2 aragon europe | eu-west-1 dublin europe | eu-west-2 london europe
eu-west-3 paris europe | il-central-1 tel-aviv asia | me-central-1 uae asia | me-south-1 bahrain asia
sa-east-1 sao-paulo south-america | us-east-1 virginia north-america | us-east-2 ohio north-america
us-west-1 california north-america | us-west-2 oregon north-america
africa-south1 johannesburg africa | asia-east1 taiwan asia | asia-east2 hong-kong asia | asia-northeast1 tokyo asia
asia-northeast2 osaka asia | asia-northeast3 seoul asia | asia-south1 mumbai asia | asia-south2 delhi asia
asia-southeast1 singapore asia | asia-southeast2 jakarta asia | australia-southeast1 sydney oceania
australia-southeast2 melbourne oceania | europe-central2 warsaw europe | europe-north1 hamina europe
europe-southwest1 madrid europe | europe-west1 belgium europe | europe-west2 london europe | europe-west3 frankfurt europe
europe-west4 netherlands europe | europe-west6 zurich europe | europe-west8 milan europe | europe-west9 paris europe
europe-west10 berlin europe | europe-west12 turin europe | me-central1 doha asia | me-central2 dammam asia
me-west1 tel-aviv asia | northamerica-northeast1 montreal north-america | northamerica-northeast2 toronto north-america
southamerica-east1 sao-paulo south-america | southamerica-west1 santiago south-america | us-central1 iowa north-america
us-east1 south-carolina north-america | us-east4 virginia north-america | us-east5 ohio north-america
us-south1 dallas north-america | us-west1 oregon north-america | us-west2 california north-america
us-west3 salt-lake-city north-america | us-west4 las-vegas north-america
eu many europe | us many north-america | asia many asia | eur4 many europe | nam4 many north-america | asia1 many asia
`

const places = new Map(
  table.split(/[|\n]/).flatMap((entry): [string, Place][] => {
    const [name, area, continent] = entry.trim().split(' ')
    return name && area && continent ? [[name, { area, continent }]] : []
  }),
)

/** Of an AWS region or a Google location, multi-regions too, in whatever case. */
export const placeOf = (region: string): Place | undefined => places.get(region.toLowerCase())
