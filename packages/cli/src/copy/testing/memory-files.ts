/** The local side in memory. Every operation is done within the turn in which it was called. */
import type { Entry, FileFacts, FileSystem, PartFile, SourceFile } from "../file-system.ts";
import { MemoryDirectory, MemoryFile, type MemoryNode, type MemoryTree, nameOf, UMASK } from "./memory-tree.ts";

export class MemoryFiles implements FileSystem {
  readonly openFiles = 1000;
  readonly canSync = true;
  readonly #tree: MemoryTree;

  constructor(tree: MemoryTree) {
    this.#tree = tree;
  }

  async owner(): Promise<number> {
    return this.#tree.user;
  }

  async umask(): Promise<number> {
    return UMASK;
  }

  async stat(path: string): Promise<FileFacts | undefined> {
    return factsOf(this.#tree.find(path));
  }

  async lstat(path: string): Promise<FileFacts | undefined> {
    return factsOf(this.#tree.find(path, true));
  }

  async *list(path: string): AsyncGenerator<readonly Entry[]> {
    const names = [...(this.#tree.directory(path)?.children.keys() ?? [])];
    while (names.length > 0) yield names.splice(0, 100).map((name) => ({ name }));
  }

  async makeDirectory(path: string, mode: number): Promise<boolean> {
    if (this.#tree.directory(path) !== undefined) return false;
    const made = new MemoryDirectory();
    made.mode = mode & ~UMASK;
    this.#tree.parent(path)!.children.set(nameOf(path), made);
    return true;
  }

  async hash(path: string, bytes: number): Promise<string> {
    return this.#tree.file(path)!.digest(bytes);
  }

  async openRead(path: string): Promise<SourceFile> {
    const file = this.#tree.file(path);
    if (file === undefined) throw failure("ENOENT");
    return {
      facts: async () => factsOf(file)!,
      read: async (offset, target) => file.read(offset, target),
      finish: async () => factsOf(file)!,
      abandon: async () => undefined,
    };
  }

  async createPart(path: string): Promise<PartFile | undefined> {
    const folder = this.#tree.parent(path);
    if (folder === undefined) throw failure("ENOENT");
    if (folder.children.has(nameOf(path))) return undefined;
    folder.children.set(nameOf(path), MemoryFile.of("", 0o600));
    return this.openPart(path);
  }

  async openPart(path: string): Promise<PartFile> {
    const file = this.#tree.file(path)!;
    return {
      write: async (offset, bytes) => file.write(offset, bytes),
      facts: async () => factsOf(file)!,
      chmod: async (mode) => {
        file.mode = mode;
      },
      finish: async ({ mode }) => {
        file.mode = mode;
        return this.#tree.file(path) === file ? file.size : -1;
      },
      abandon: async () => undefined,
    };
  }

  async chmod(path: string, mode: number): Promise<void> {
    const node = this.#tree.find(path);
    if (node !== undefined && node.kind !== "link") node.mode = mode;
  }

  async rename(from: string, to: string): Promise<void> {
    const node = this.#tree.find(from, true);
    if (node === undefined) throw failure("ENOENT");
    this.#tree.parent(from)!.children.delete(nameOf(from));
    this.#tree.parent(to)!.children.set(nameOf(to), node);
  }

  async remove(path: string): Promise<void> {
    this.#tree.parent(path)?.children.delete(nameOf(path));
  }

  join(folder: string, name: string): string {
    return `${folder}/${name}`;
  }

  baseName(path: string): string {
    return nameOf(path);
  }
}

function factsOf(node: MemoryNode | undefined): FileFacts | undefined {
  if (node === undefined) return undefined;
  return {
    isDirectory: node.kind === "directory",
    isFile: node.kind === "file",
    size: node.kind === "file" ? node.size : 0,
    mode: node.kind === "link" ? 0o777 : node.mode,
    modifiedMs: node.kind === "file" ? node.modifiedMs : 0,
    owner: node.kind === "file" ? node.owner : undefined,
  };
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
