/** The page that trades the secret of the address for the cookie, and its script. */

export const ENTER_PATH = "/enter";
export const ENTER_SCRIPT_PATH = "/enter.js";

export const ENTER_POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
  "require-trusted-types-for 'script'; trusted-types 'none'";

/** The address without the secret replaces the first one before anything else happens, also in the history. */
export const ENTER_SCRIPT = `const say = (text) => {
  document.getElementById("say").textContent = text;
};
const secret = location.hash.slice(1);
history.replaceState(null, "", "/");
try {
  const answer = await fetch("${ENTER_PATH}", { method: "POST", body: secret });
  const text = await answer.text();
  if (answer.ok) location.replace(text);
  else say(text);
} catch {
  say("The command that serves this page does not answer. Has it ended?");
}
`;

/** @param script Whether the page brings its secret; otherwise it only shows the text. */
export function enterPage(text: string, script: boolean): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Terminal · Coder</title>
${script ? `    <script type="module" src="${ENTER_SCRIPT_PATH}"></script>\n` : ""}  </head>
  <body>
    <p id="say">${text}</p>
${script ? "    <noscript>This page needs JavaScript. The command line works without it: coder ssh.</noscript>\n" : ""}  </body>
</html>
`;
}
