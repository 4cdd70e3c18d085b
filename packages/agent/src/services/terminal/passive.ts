/**
 * Replayed output must not contain queries: a terminal answers by typing, and the answer would reach the program that reads now.
 * Removes the queries that xterm, its descendants and kitty answer (ECMA-48, DEC STD 070, xterm's ctlseqs, kitty's protocols),
 * and leaves every other byte as it is.
 */

const ENQ = 0x05;
const BEL = 0x07;
const CAN = 0x18;
const SUB = 0x1a;
const ESC = 0x1b;
const BACKSLASH = 0x5c;
/** UTF-8 lead byte of U+0080 to U+00BF; U+0080 to U+009F are the controls that ESC writes in 7 bits. */
const C1_LEAD = 0xc2;

/** @returns `output` itself when it contains no query, otherwise a copy without the queries. */
export function passive(output: Uint8Array): Uint8Array {
  let rest = output;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const before = rest;
    rest = withoutQuestions(before);
    if (rest.length === before.length) break;
  }
  return rest;
}

/** Removing a query may join the bytes around it into another one; only deliberate input nests more deeply. */
const MAX_PASSES = 32;

function withoutQuestions(output: Uint8Array): Uint8Array {
  const kept: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at < output.length; ) {
    const { end, asks } = element(output, at);
    if (asks) {
      kept.push(output.subarray(from, at));
      from = end;
    }
    at = end;
  }
  if (kept.length === 0 && from === 0) return output;
  return Buffer.concat([...kept, output.subarray(from)]);
}

interface Element {
  /** Offset after its last byte. */
  readonly end: number;
  readonly asks: boolean;
}

/** One byte of text, one control, or one sequence. A sequence truncated by the end of the output is not a query yet. */
function element(output: Uint8Array, at: number): Element {
  const first = output[at]!;
  if (first === ENQ) return { end: at + 1, asks: true };
  const seven = first === ESC;
  const second = output[at + 1];
  if (second === undefined || !(seven || first === C1_LEAD)) return { end: at + 1, asks: false };
  const kind = seven ? second : second - 0x40;
  switch (kind) {
    case 0x5b: // CSI
      return controlSequence(output, at + 2);
    case 0x50: // DCS
    case 0x58: // SOS
    case 0x5d: // OSC
    case 0x5e: // PM
    case 0x5f: // APC
      return controlString(output, at + 2, kind);
    case 0x5a: // DECID
      return { end: at + 2, asks: true };
    default:
      // ESC ESC and the like: the second may begin a sequence.
      return { end: at + 1, asks: false };
  }
}

/**
 * Parameters 30–3f, intermediates 20–2f, one final byte 40–7e. Other controls act within a sequence, as in terminals.
 */
function controlSequence(output: Uint8Array, start: number): Element {
  let body = "";
  for (let at = start; at < output.length; at++) {
    const byte = output[at]!;
    if (byte === ESC) return { end: at, asks: false };
    if (byte === CAN || byte === SUB) return { end: at + 1, asks: false };
    if (byte >= 0x40 && byte < 0x7f) return { end: at + 1, asks: asksBySequence(body, String.fromCharCode(byte)) };
    if (byte >= 0x20 && byte < 0x40) body += String.fromCharCode(byte);
    if (body.length > MAX_SEQUENCE) return { end: at + 1, asks: false };
  }
  return { end: output.length, asks: false };
}

/** No query is longer than this. */
const MAX_SEQUENCE = 256;

function asksBySequence(body: string, final: string): boolean {
  const [, prefix = "", parameters = "", intermediates = ""] = /^([<-?]?)([0-9:;<-?]*)([ -/]*)/.exec(body) ?? [];
  const form = `${prefix}${intermediates}${final}`;
  if (form === "t") {
    const operation = Number.parseInt(parameters, 10);
    return operation >= 11 && operation <= 21; // window reports
  }
  // Enables size reports, the first of which follows at once.
  if (form === "?h") return parameters.split(";").includes("2048");
  return QUESTIONS.has(form);
}

/** Prefix, intermediates and final byte. */
const QUESTIONS: ReadonlySet<string> = new Set([
  ...["c", ">c", "=c"], // DA1, DA2, DA3
  ...["n", "?n"], // DSR, CPR, DECDSR
  "x", // DECREQTPARM
  ">q", // XTVERSION
  ...["$p", "?$p"], // DECRQM
  ...["?u", "&u", "$u"], // keyboard flags of kitty; DECRQUPSS, DECRQTSR
  "?m", // XTQMODKEYS
  "?S", // XTSMGRAPHICS
  "*y", // DECRQCRA
  "$w", // DECRQPSR
  '"v', // DECRQDE
  "'|", // DECRQLP
  ...["#R", "#|"], // XTREPORTCOLORS, XTREPORTSGR
]);

/** Ends at BEL (OSC only in the standard, everywhere in practice), ST, or a byte that aborts it. */
function controlString(output: Uint8Array, start: number, kind: number): Element {
  for (let at = start; at < output.length; at++) {
    const byte = output[at]!;
    const text = (): string => Buffer.from(output.subarray(start, Math.min(at, start + MAX_STRING))).toString("latin1");
    if (byte === CAN || byte === SUB) return { end: at + 1, asks: false };
    if (byte === BEL) return { end: at + 1, asks: asksByString(kind, text()) };
    const ends8 = byte === C1_LEAD && output[at + 1] === 0x9c;
    if (byte === ESC || ends8) {
      if (at + 1 === output.length) break;
      if (ends8 || output[at + 1] === BACKSLASH) return { end: at + 2, asks: asksByString(kind, text()) };
      // The start of another sequence ends this one; terminals then act on what they have received.
      return { end: at, asks: asksByString(kind, text()) };
    }
  }
  return { end: output.length, asks: false };
}

/** A longer string is the content of an image or of a clipboard; queries are short. */
const MAX_STRING = 4096;

function asksByString(kind: number, text: string): boolean {
  if (kind === 0x50) return /^[0-9;]*[$+]q/.test(text); // DECRQSS, XTGETTCAP
  if (kind === 0x5f) return text.startsWith("G") && !/[G,;]q=2(?:[,;]|$)/.test(text); // kitty's images, unless quiet
  if (kind !== 0x5d) return false;
  const number = Number.parseInt(text, 10);
  // Colours, font, clipboard: a question mark instead of a value.
  if (number <= 5 || (number >= 10 && number <= 19) || number === 21 || number === 50 || number === 52)
    return number >= 4 && /[;=]\?/.test(text);
  if (number === 99) return /p=\?/.test(text); // which notifications are supported
  return number === 1337 && /^1337;(?:Report|RequestUpload|Capabilities)/.test(text);
}
