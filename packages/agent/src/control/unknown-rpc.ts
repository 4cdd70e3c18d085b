import { DrpcError, UNIMPLEMENTED_CODE } from "coder-protocol/drpc/async";

/** Whether the call failed because the control plane is too old to know it. */
export function isUnknownRpc(error: unknown): boolean {
  return (
    error instanceof DrpcError &&
    error.reason === "remote" &&
    (error.code === UNIMPLEMENTED_CODE || error.message.includes("unknown rpc"))
  );
}
