// Runs a command in a workspace over SSH: node ssh-exec.ts <workspace> <command>
import { once } from "node:events";
import { connectWorkspace } from "coder-client";
import { Client } from "ssh2";

const { CODER_URL: url = "", CODER_SESSION_TOKEN: token = "" } = process.env;
const [workspace = "", command = ""] = process.argv.slice(2);

await using connection = await connectWorkspace({ url, token, workspace });
// The tunnel has authenticated both ends, so SSH asks for nothing more.
const ssh = new Client().connect({ sock: await connection.dial(1), username: "coder", authHandler: ["none"] });
await once(ssh, "ready");
ssh.exec(command, (error, channel) => {
  if (error) throw error;
  channel.pipe(process.stdout);
  channel.on("exit", (code: number) => {
    process.exitCode = code;
  });
  channel.on("close", () => ssh.end());
});
await once(ssh, "close");
