/** Only a STUN server, so that a second address can be asked: `node stun-server.ts <port>`. */
import { createSocket } from "node:dgram";
import { parseIp } from "wg-userspace/base/ip";
import { encodeBindingResponse, parseBindingRequest } from "wg-userspace/stun/message";

const socket = createSocket({ type: "udp6" });
socket.on("message", (datagram, from) => {
  const request = parseBindingRequest(datagram);
  const address = parseIp(from.address.replace(/^::ffff:/, ""));
  if (request === undefined || address === undefined) return;
  socket.send(encodeBindingResponse(request.transactionId, { address, port: from.port }), from.port, from.address);
});
socket.bind(Number(process.argv[2]), "::", () => process.stdout.write("listening\n"));
