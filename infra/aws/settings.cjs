// What lifeboat.yml says, for serverless.yml and its parts: ${file(infra/aws/settings.cjs):NAME}. The framework
// loads no TypeScript here, so this only hands on.
module.exports = require('../../tools/stack-settings.ts').readStackSettings
