/** The files of either side, as far as copying needs them. */

export interface FileFacts {
  readonly isDirectory: boolean;
  readonly isFile: boolean;
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
  /** As exact as the side has it: SFTP has whole seconds. */
  readonly modifiedMs: number;
  /** User id, where the side has it. */
  readonly owner?: number | undefined;
  /** Names of the file, where the side counts them. */
  readonly links?: number | undefined;
}

export interface Entry {
  readonly name: string;
  /** Absent where the list does not tell, and for links: `stat` does. */
  readonly facts?: FileFacts;
}

export interface FileSystem {
  /** How many files may be open at once, as far as is known by now. */
  readonly openFiles: number;
  /** Whether a file can be written to disk before it is renamed. */
  readonly canSync: boolean;
  /** The user id of files that are made here. Undefined: unknown. */
  owner(): Promise<number | undefined>;
  /** The permissions that files and directories made here do not get. */
  umask(): Promise<number>;
  /** Follows links. Undefined: there is none. Rejects for anything else. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** As {@link stat}, of a link itself. */
  lstat(path: string): Promise<FileFacts | undefined>;
  /** Names without `.` and `..`, a page at a time. */
  list(path: string): AsyncIterable<readonly Entry[]>;
  /** Resolves with false when it was there already. */
  makeDirectory(path: string, mode: number): Promise<boolean>;
  /** SHA-256 of the first bytes, in hex. */
  hash(path: string, bytes: number): Promise<string>;
  openRead(path: string): Promise<SourceFile>;
  /** A new file that only its owner may read. Undefined: something has this name. */
  createPart(path: string): Promise<PartFile | undefined>;
  /** For writing behind what is there. */
  openPart(path: string): Promise<PartFile>;
  chmod(path: string, mode: number): Promise<void>;
  /** Takes the place of a file that is there. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  join(folder: string, name: string): string;
  baseName(path: string): string;
}

/** Calls may follow each other without waiting, and take effect in their order. */
export interface SourceFile {
  /** Asked once, before the first read. */
  facts(): Promise<FileFacts>;
  /** Resolves with the bytes read: fewer than asked for only at the end of the file. Fills `target` until then. */
  read(offset: number, target: Uint8Array): Promise<number>;
  /** The facts after all reads; closes the file. */
  finish(): Promise<FileFacts>;
  /** Closes the file, after a failure. */
  abandon(): Promise<void>;
}

/** Calls may follow each other without waiting, and take effect in their order. */
export interface PartFile {
  /** Uses `bytes` until it resolves. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Of the open file, whatever its name is by now. */
  facts(): Promise<FileFacts>;
  chmod(mode: number): Promise<void>;
  /**
   * After all writes: sets permissions, writes to disk if `sync`, and closes. Resolves with the size of the part, or
   * -1 when another file has its name then, or none.
   */
  finish(options: { readonly mode: number; readonly sync: boolean }): Promise<number>;
  /** Closes the file, after a failure. */
  abandon(): Promise<void>;
}
