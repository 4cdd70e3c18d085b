/**
 * Runs in a hostile page, not in the test: tries every way to send a request to an app and to the API. Returns which answers the
 * page could read. The function can use nothing outside itself.
 */
export async function attack({ app, api }) {
  const readable = [];
  const LATE_MS = 5_000;
  const attempt = async (what, act) => {
    const late = new Promise((resolve) => setTimeout(resolve, LATE_MS, false));
    if (await Promise.race([act().catch(() => false), late])) readable.push(what);
  };
  const fetched = async (url, init) => {
    const answer = await fetch(url, { credentials: "include", ...init });
    return answer.type !== "opaque" && answer.type !== "opaqueredirect" && answer.ok;
  };
  const element = (tag, attributes) =>
    new Promise((resolve) => {
      const made = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.addEventListener("load", () => resolve(tag !== "iframe"));
      made.addEventListener("error", () => resolve(false));
      document.body.append(made);
    });
  /** Submits a form into a window or a frame, and waits for what is shown there. */
  const form = async (url, target, enctype, fields) => {
    const made = document.createElement("form");
    Object.assign(made, { action: url, method: "POST", target, enctype });
    for (const [name, value] of Object.entries(fields)) {
      const input = document.createElement("input");
      Object.assign(input, { type: "hidden", name, value });
      made.append(input);
    }
    document.body.append(made);
    made.submit();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return false;
  };
  const socket = (url) =>
    new Promise((resolve) => {
      const made = new WebSocket(url.replace(/^http/, "ws"));
      made.onopen = () => {
        made.close();
        resolve(true);
      };
      made.onerror = () => resolve(false);
    });
  const events = (url) =>
    new Promise((resolve) => {
      const made = new EventSource(url, { withCredentials: true });
      const end = (opened) => {
        made.close();
        resolve(opened);
      };
      made.onopen = () => end(true);
      made.onerror = () => end(false);
    });

  const frame = document.createElement("iframe");
  frame.name = "frame";
  document.body.append(frame);
  const popup = window.open("about:blank", "popup");
  // A form as JSON: the name of its one field is the whole document except for its end.
  const json = { '{"name":"evil","x":"': '"}' };
  const places = [
    ["app", `${app}/hit`],
    ["reading", `${api}/api/v2/users/me`],
    ["workspaces", `${api}/api/v2/users/me/workspaces`],
    ["keys", `${api}/api/v2/users/me/keys`],
    ["logout", `${api}/api/v2/users/logout`],
  ];
  for (const [what, url] of places) {
    const body = '{"name":"evil"}';
    await attempt(`${what}: no-cors`, () => fetched(`${url}?no-cors`, { mode: "no-cors" }));
    await attempt(`${what}: no-cors POST`, () => fetched(`${url}?post`, { mode: "no-cors", method: "POST", body }));
    await attempt(`${what}: cors`, () => fetched(`${url}?cors`, {}));
    await attempt(`${what}: cors POST`, () => fetched(`${url}?cors-post`, { method: "POST", body }));
    await attempt(`${what}: cors PUT`, () => fetched(`${url}?cors-put`, { method: "PUT", body }));
    await attempt(`${what}: manual redirect`, () => fetched(`${url}?manual`, { redirect: "manual" }));
    await attempt(`${what}: image`, () => element("img", { src: `${url}?img` }));
    await attempt(`${what}: script`, () => element("script", { src: `${url}?script` }));
    await attempt(`${what}: module`, () => element("script", { src: `${url}?module`, type: "module" }));
    await attempt(`${what}: style`, () => element("link", { href: `${url}?style`, rel: "stylesheet" }));
    await attempt(`${what}: prefetch`, () => element("link", { href: `${url}?prefetch`, rel: "prefetch" }));
    await attempt(`${what}: iframe`, () => element("iframe", { src: `${url}?iframe` }));
    await attempt(`${what}: object`, () => element("object", { data: `${url}?object` }));
    await attempt(`${what}: events`, () => events(`${url}?events`));
    await attempt(`${what}: socket`, () => socket(`${url}?socket`));
    navigator.sendBeacon(`${url}?beacon`, body);
    await attempt(`${what}: form in a frame`, () => form(`${url}?form-frame`, "frame", "text/plain", json));
    await attempt(`${what}: form in a window`, () => form(`${url}?form-window`, "popup", "text/plain", json));
    await attempt(`${what}: form`, () =>
      form(`${url}?form-encoded`, "popup", "application/x-www-form-urlencoded", { name: "evil" }),
    );
  }
  await attempt("stream: socket", () => socket(`${api}/api/v2/dashboard/stream`));
  popup?.close();
  return readable;
}
