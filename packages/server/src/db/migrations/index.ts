import type { Kysely } from "kysely";
import { initial } from "./001-initial.ts";

export interface Migration {
  /** 1, 2, 3 … without gaps. A released migration never changes. */
  readonly version: number;
  readonly name: string;
  up(db: Kysely<unknown>): Promise<void>;
}

export const migrations: readonly Migration[] = [{ version: 1, name: "initial", up: initial }];
