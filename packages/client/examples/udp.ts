// Sends one datagram to a UDP port of a workspace and prints the answer: node udp.ts <workspace> <port> <text>
import { connectWorkspace } from "coder-client";

const { CODER_URL: url = "", CODER_SESSION_TOKEN: token = "" } = process.env;
const [workspace = "", port = "", text = ""] = process.argv.slice(2);

await using connection = await connectWorkspace({ url, token, workspace });
const answer = await new Promise<string>((resolve, reject) => {
  const socket = connection.openUdp(Number(port), {
    onMessage: (payload) => resolve(Buffer.from(payload).toString()),
    onUnreachable: () => reject(new Error("nothing listens there")),
  });
  socket.send(Buffer.from(text));
});
console.log(answer);
