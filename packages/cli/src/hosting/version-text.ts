/** The output of `coder version`: text, and the document that editors read. Pure. */
import { VERSION } from "../base/version.ts";

export function versionLine(): string {
  return `Coder ${VERSION} (TypeScript), Node ${process.version}, ${process.platform} ${process.arch}\n`;
}

export function versionJson(): string {
  const document = {
    version: VERSION,
    build_time: "0001-01-01T00:00:00Z",
    external_url: "",
    slim: false,
    agpl: true,
    boring_crypto: false,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
