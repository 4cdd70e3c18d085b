/** One stream for all tabs of a browser. */
import { socketUrl } from "../../api/socket-url.ts";
import { Hub } from "./hub.ts";

const hub = new Hub(socketUrl("/dashboard/stream"));

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port !== undefined) hub.attach(port);
});
