/** Rules for the passwords of accounts. */

export const MIN_PASSWORD_LENGTH = 8;
export const MAX_PASSWORD_LENGTH = 256;

/** The first entries of every list of leaked passwords, in lower case and without digits and signs at the ends. */
const COMMON = new Set(
  (
    "password passwort passw0rd pass admin administrator root user guest login welcome letmein changeme default secret test " +
    "master monkey dragon sunshine princess football baseball superman batman iloveyou trustno shadow michael jordan " +
    "qwerty qwertyuiop qwertz azerty asdf asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx abc abcd abcdef abcdefgh coder"
  ).split(" "),
);
const LEAST_DISTINCT = 5;
const ROWS = ["abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm"];

/** One phrase after "the password", or undefined when an account may have it. */
export function passwordProblem(password: string): string | undefined {
  if (password.length < MIN_PASSWORD_LENGTH) return `must have at least ${MIN_PASSWORD_LENGTH} characters`;
  if (password.length > MAX_PASSWORD_LENGTH) return `must have at most ${MAX_PASSWORD_LENGTH} characters`;
  const text = password.toLowerCase();
  if (new Set(text).size < LEAST_DISTINCT) return `must have at least ${LEAST_DISTINCT} different characters`;
  const core = text.replace(/^[^a-z]+|[^a-z]+$/g, "");
  const plain = core
    .replace(/0/g, "o")
    .replace(/1/g, "i")
    .replace(/3/g, "e")
    .replace(/[4@]/g, "a")
    .replace(/[5$]/g, "s");
  if (COMMON.has(core) || COMMON.has(plain)) return "is among the most common passwords";
  if (ROWS.some((row) => isRun(row, text))) return "must not be a row of the keyboard or the alphabet";
  return undefined;
}

/** Whether `text` is a part of `row`, forwards or backwards, or of the row twice in succession. */
function isRun(row: string, text: string): boolean {
  const backwards = [...row].reverse().join("");
  return [row, backwards].some((one) => one.includes(text) || `${one}${one}`.includes(text));
}
