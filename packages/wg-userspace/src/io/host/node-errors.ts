/** Node error codes → EngineError. The only place that knows them. */
import { EngineError, type ErrorCode } from "../../base/errors.ts";

interface Meaning {
  readonly code: ErrorCode;
  readonly words: string;
  readonly retryable: boolean;
}

const UNTRUSTED = "its certificate is not signed by an authority that this machine knows";

const MEANINGS: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: { code: "ERR_CONNECTION_REFUSED", words: "connection refused", retryable: true },
  ECONNRESET: { code: "ERR_CONNECTION_RESET", words: "connection reset by the other side", retryable: true },
  ECONNABORTED: { code: "ERR_CONNECTION_RESET", words: "connection aborted", retryable: true },
  EPIPE: { code: "ERR_CONNECTION_RESET", words: "connection closed by the other side", retryable: true },
  ERR_STREAM_PREMATURE_CLOSE: { code: "ERR_CONNECTION_RESET", words: "connection ended early", retryable: true },
  ETIMEDOUT: { code: "ERR_CONNECTION_TIMEOUT", words: "no answer in time", retryable: true },
  ERR_SOCKET_CONNECTION_TIMEOUT: { code: "ERR_CONNECTION_TIMEOUT", words: "no answer in time", retryable: true },
  EHOSTUNREACH: { code: "ERR_HOST_UNREACHABLE", words: "host unreachable", retryable: true },
  EHOSTDOWN: { code: "ERR_HOST_UNREACHABLE", words: "host down", retryable: true },
  ENETUNREACH: { code: "ERR_NETWORK_UNREACHABLE", words: "network unreachable", retryable: true },
  ENETDOWN: { code: "ERR_NETWORK_UNREACHABLE", words: "network down", retryable: true },
  EADDRINUSE: { code: "ERR_ADDRESS_IN_USE", words: "address already in use", retryable: false },
  EADDRNOTAVAIL: {
    code: "ERR_ADDRESS_NOT_AVAILABLE",
    words: "address not available on this machine",
    retryable: false,
  },
  EACCES: { code: "ERR_PERMISSION_DENIED", words: "permission denied", retryable: false },
  EPERM: { code: "ERR_PERMISSION_DENIED", words: "not permitted", retryable: false },
  ENOTFOUND: { code: "ERR_NAME_NOT_FOUND", words: "host name not found", retryable: true },
  EAI_AGAIN: { code: "ERR_NAME_NOT_FOUND", words: "name server did not answer", retryable: true },
  ENODATA: { code: "ERR_NAME_NOT_FOUND", words: "host name has no address", retryable: true },
  EMSGSIZE: { code: "ERR_MESSAGE_TOO_LARGE", words: "message too large", retryable: false },
  EMFILE: { code: "ERR_LIMIT", words: "too many open files in this process", retryable: true },
  ENFILE: { code: "ERR_LIMIT", words: "too many open files on this machine", retryable: true },
  ENOBUFS: { code: "ERR_LIMIT", words: "out of socket buffers", retryable: true },
  CERT_HAS_EXPIRED: { code: "ERR_TLS_EXPIRED", words: "its certificate has expired", retryable: false },
  CERT_NOT_YET_VALID: {
    code: "ERR_TLS_EXPIRED",
    words: "its certificate is not valid yet; check the clock of this machine",
    retryable: false,
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: "ERR_TLS_NAME_MISMATCH",
    words: "its certificate is for another name",
    retryable: false,
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: { code: "ERR_TLS_UNTRUSTED", words: "its certificate is self-signed", retryable: false },
  SELF_SIGNED_CERT_IN_CHAIN: { code: "ERR_TLS_UNTRUSTED", words: UNTRUSTED, retryable: false },
  UNABLE_TO_GET_ISSUER_CERT: { code: "ERR_TLS_UNTRUSTED", words: UNTRUSTED, retryable: false },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: { code: "ERR_TLS_UNTRUSTED", words: UNTRUSTED, retryable: false },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: { code: "ERR_TLS_UNTRUSTED", words: UNTRUSTED, retryable: false },
  CERT_UNTRUSTED: { code: "ERR_TLS_UNTRUSTED", words: UNTRUSTED, retryable: false },
  CERT_REJECTED: { code: "ERR_TLS_UNTRUSTED", words: "its certificate was rejected", retryable: false },
  CERT_REVOKED: { code: "ERR_TLS_UNTRUSTED", words: "its certificate was revoked", retryable: false },
  EPROTO: { code: "ERR_TLS", words: "TLS failed", retryable: false },
  ABORT_ERR: { code: "ERR_ABORTED", words: "cancelled", retryable: false },
};

/**
 * @param error Whatever was thrown or emitted; an EngineError comes back as it is.
 * @param context What failed, with the values quoted: `cannot reach relay "a.example.com:443"`.
 */
export function toEngineError(error: unknown, context: string): EngineError {
  if (error instanceof EngineError) return error;
  // Happy eyeballs reports one error per address; the first one is reported.
  if (error instanceof AggregateError && error.errors.length > 0 && codeOf(error) === undefined)
    return toEngineError(error.errors[0], context);
  const name = error instanceof Error ? error.name : undefined;
  if (name === "TimeoutError")
    return new EngineError("ERR_TIMEOUT", `${context}: no answer in time`, { retryable: true, cause: error });
  if (name === "AbortError") return new EngineError("ERR_ABORTED", `${context}: cancelled`, { cause: error });
  const nodeCode = codeOf(error);
  const meaning = nodeCode === undefined ? undefined : MEANINGS[nodeCode];
  if (meaning !== undefined)
    return new EngineError(meaning.code, `${context}: ${meaning.words}`, {
      retryable: meaning.retryable,
      cause: error,
    });
  if (nodeCode?.startsWith("ERR_SSL_") || nodeCode?.startsWith("ERR_TLS_"))
    return new EngineError("ERR_TLS", `${context}: TLS failed (${nodeCode})`, { cause: error });
  const words = error instanceof Error ? error.message : String(error);
  return new EngineError("ERR_IO", `${context}: ${words}`, { retryable: true, cause: error });
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
