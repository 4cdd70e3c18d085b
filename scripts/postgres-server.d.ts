export interface TestPostgres {
  /** Of the administrator, without a password. */
  readonly url: string;
  readonly port: number;
  /** As `pg_ctl stop -m fast`; `start` begins again with the same data on the same port. */
  halt(): Promise<void>;
  start(): Promise<void>;
  /** As halt, then gone from the disk. */
  stop(): Promise<void>;
}
/** The folder of initdb and postgres; undefined where there is none. Debian keeps them out of PATH. */
export declare function findPostgres(): string | undefined;
/** Starts one, whose writes need not survive a power cut. Its collation is not that of code points, as in most installations. */
export declare function startPostgres(binaries: string, settings?: readonly string[]): Promise<TestPostgres>;
