import type { Status } from "./codec.ts";

/** Answered with its status. */
export class SftpFailure extends Error {
  readonly status: Status;
  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
  }
}
