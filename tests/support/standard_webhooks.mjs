// Verifies webhooks with npm's `standardwebhooks`: a JSON list of {secret, headers, body} comes in, and for each the
// payload as it was verified, or the error, goes out. The package lies in the folder that is the first argument.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const { Webhook } = require("standardwebhooks");

const verify = ({ secret, headers, body }) => {
  try {
    return { payload: new Webhook(secret).verify(Buffer.from(body, "base64").toString("utf8"), headers) };
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
};

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(verify)));
