// Reaches a port of a workspace: node port.ts <workspace> <port>
import { once } from "node:events";
import { connectWorkspace } from "coder-client";

const { CODER_URL: url = "", CODER_SESSION_TOKEN: token = "" } = process.env;
const [workspace = "", port = ""] = process.argv.slice(2);

await using connection = await connectWorkspace({ url, token, workspace });
const stream = await connection.dial(Number(port));
process.stdin.pipe(stream).pipe(process.stdout);
await once(stream, "close");
