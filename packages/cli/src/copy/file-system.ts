/** The file operations of one side that copying needs. */

export interface FileFacts {
  readonly isDirectory: boolean;
  readonly isFile: boolean;
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
  /** As exact as the side provides: SFTP has whole seconds. */
  readonly modifiedMs: number;
  /** User id, where the side provides it. */
  readonly owner?: number | undefined;
  /** Number of names (hard links) of the file, where the side counts them. */
  readonly links?: number | undefined;
}

export interface Entry {
  readonly name: string;
  /** Absent where the list has none, and for links; use `stat` then. */
  readonly facts?: FileFacts;
}

export interface FileSystem {
  /** How many files may be open at once, as far as is known yet. */
  readonly openFiles: number;
  /** Whether a file can be written to disk before it is renamed. */
  readonly canSync: boolean;
  /** The user id of new files on this side; undefined when it is unknown. */
  owner(): Promise<number | undefined>;
  /** The permission bits that new files and directories on this side do not get. */
  umask(): Promise<number>;
  /** Follows links. Undefined when there is no such file; rejects for any other failure. */
  stat(path: string): Promise<FileFacts | undefined>;
  /** Like {@link stat}, but does not follow links. */
  lstat(path: string): Promise<FileFacts | undefined>;
  /** Names without `.` and `..`, one page at a time. */
  list(path: string): AsyncIterable<readonly Entry[]>;
  /** Resolves with false when the directory already exists. */
  makeDirectory(path: string, mode: number): Promise<boolean>;
  /** SHA-256 of the first bytes, in hex. */
  hash(path: string, bytes: number): Promise<string>;
  openRead(path: string): Promise<SourceFile>;
  /** Makes a file that only its owner may read; undefined when the name is taken. */
  createPart(path: string): Promise<PartFile | undefined>;
  /** Opens an existing part for writing after its present content. */
  openPart(path: string): Promise<PartFile>;
  chmod(path: string, mode: number): Promise<void>;
  /** Replaces an existing file. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  join(folder: string, name: string): string;
  baseName(path: string): string;
}

/** Calls may be made without waiting for earlier ones, and take effect in order. */
export interface SourceFile {
  /** Called once, before the first read. */
  facts(): Promise<FileFacts>;
  /** Fills `target` and resolves with the number of bytes read, which is smaller only at the end of the file. */
  read(offset: number, target: Uint8Array): Promise<number>;
  /** The facts after all reads. Closes the file. */
  finish(): Promise<FileFacts>;
  /** Closes the file after a failure. */
  abandon(): Promise<void>;
}

/** Calls may be made without waiting for earlier ones, and take effect in order. */
export interface PartFile {
  /** Uses `bytes` until it resolves. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Facts of the open file, even if it was renamed. */
  facts(): Promise<FileFacts>;
  chmod(mode: number): Promise<void>;
  /**
   * Call after all writes: sets permissions, writes to disk if `sync`, and closes. Resolves with the size of the part, or -1 when
   * its name now belongs to another file or to none.
   */
  finish(options: { readonly mode: number; readonly sync: boolean }): Promise<number>;
  /** Closes the file after a failure. */
  abandon(): Promise<void>;
}
