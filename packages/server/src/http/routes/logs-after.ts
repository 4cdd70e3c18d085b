import { HttpFailure } from "../failure.ts";

/** The id after which logs are requested; 0 for the beginning. Throws HttpFailure 400. */
export function logsAfter(text: string | null | undefined): number {
  if (text === undefined || text === null || text === "") return 0;
  if (!/^-?\d{1,15}$/.test(text)) {
    throw new HttpFailure(400, 'Query param "after" must be an integer greater than or equal to zero.', {
      validations: [{ field: "after", detail: "Must be an integer greater than or equal to zero" }],
    });
  }
  return Math.max(0, Number(text));
}
