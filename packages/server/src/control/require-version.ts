import { checkVersion } from "coder-protocol/version";
import { DomainError } from "../base/domain-error.ts";

/** Throws DomainError "invalid" if the request asks for an unsupported version of the API. */
export function requireVersion(url: URL, missing: string): void {
  const checked = checkVersion(url.searchParams.get("version") ?? missing);
  if (checked.ok) return;
  throw new DomainError("invalid", "Unknown or unsupported API version", {
    validations: [{ field: "version", detail: checked.detail }],
  });
}
