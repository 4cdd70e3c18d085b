import { checkVersion } from "coder-protocol/version";
import { DomainError } from "../base/domain-error.ts";

/** Throws DomainError "invalid" when the request asks for a version of the API that is not spoken here. */
export function requireVersion(url: URL, missing: string): void {
  const checked = checkVersion(url.searchParams.get("version") ?? missing);
  if (checked.ok) return;
  throw new DomainError("invalid", "Unknown or unsupported API version", {
    validations: [{ field: "version", detail: checked.detail }],
  });
}
