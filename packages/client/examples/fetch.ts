// Fetches a page from a program in a workspace: node fetch.ts <workspace> <port> <path>
import { connectWorkspace } from "coder-client";

const { CODER_URL: url = "", CODER_SESSION_TOKEN: token = "" } = process.env;
const [workspace = "", port = "", path = "/"] = process.argv.slice(2);

await using connection = await connectWorkspace({ url, token, workspace });
connection.onPathChange((to) => console.error("path:", to?.kind ?? "none"));
const response = await connection.fetch(Number(port), path);
console.log(response.status, await response.text());
