/** What a person does with a workspace, as commands of the shell. */
import { words } from "./shell.ts";
import type { Side } from "./user-side.ts";

export interface Row {
  readonly name: string;
  /** Bytes of payload; undefined if the time of the whole command is what counts. */
  readonly bytes?: number;
  readonly needs?: readonly string[];
  /** The command of one side. @param out Path for its result, in a folder that is removed after this run. */
  readonly command: (side: Side, out: string) => string;
  /** OpenSSH has no such command. */
  readonly alone?: true;
}

export interface Material {
  readonly file: string;
  readonly fileBytes: number;
  /** Folder of 200 small files. */
  readonly smallFiles: string;
  /** Folder of 2000 small files. */
  readonly manyFiles: string;
  /** Bare repository of the same files. */
  readonly repository: string;
  readonly seconds: number;
}

const AT_ONCE = 10;

export function userRows({ file, fileBytes: bytes, ...material }: Material): Row[] {
  const { smallFiles, manyFiles, repository, seconds } = material;
  const coderCp = (side: Side, flags: string, from: string, to: string): string => {
    const [prefix, place] = side.coder === undefined ? [scp(side), side.host] : [`${side.coder} cp`, "demo"];
    return `${prefix} ${flags} ${from.replace("THERE", place)} ${to.replace("THERE", place)}`;
  };
  return [
    {
      name: "coder ssh -- cat, download",
      bytes,
      command: (side) => `${coderSsh(side, `cat ${file}`)} | cat > /dev/null`,
    },
    {
      name: "coder ssh -- cat, upload",
      bytes,
      command: (side) => `cat ${file} | ${coderSsh(side, "cat > /dev/null")}`,
    },
    { name: "ssh demo.coder cat", bytes, command: (side) => `${ssh(side, `cat ${file}`)} | cat > /dev/null` },
    { name: "scp, download", bytes, command: (side, out) => `${scp(side)} ${side.host}:${file} ${out}` },
    { name: "scp, upload", bytes, command: (side, out) => `${scp(side)} ${file} ${side.host}:${out}` },
    { name: "sftp get", bytes, command: (side, out) => sftp(side, `get ${file} ${out}`) },
    { name: "sftp put", bytes, command: (side, out) => sftp(side, `put ${file} ${out}`) },
    { name: "coder cp, download", bytes, command: (side, out) => coderCp(side, "", `THERE:${file}`, out) },
    { name: "coder cp, upload", bytes, command: (side, out) => coderCp(side, "", file, `THERE:${out}`) },
    { name: "coder cp -r of 200 files", command: (side, out) => coderCp(side, "-r", `THERE:${smallFiles}`, out) },
    {
      name: "port-forward, curl",
      bytes,
      needs: ["curl"],
      command: (side, out) => `curl -sSf -o ${out} http://127.0.0.1:${side.forwardPort}/`,
    },
    ...(["down", "up"] as const).map(
      (direction): Row => ({
        name: `coder speedtest, ${direction}`,
        alone: true,
        command: (side) => `${side.coder} speedtest demo --output json --time ${seconds}s --direction ${direction}`,
      }),
    ),
    { name: "coder ssh -- true", command: (side) => coderSsh(side, "true") },
    { name: "ssh demo.coder true", command: (side) => ssh(side, "true") },
    {
      name: `${AT_ONCE} coder ssh -- true at once`,
      command: (side) => `for i in $(seq ${AT_ONCE}); do ${coderSsh(side, "true")} & jobs="$jobs $!"; done; wait $jobs`,
    },
    {
      name: "rsync of 2000 files",
      needs: ["rsync"],
      command: (side, out) => `rsync -a -e ${words(`ssh -F ${side.sshConfig}`)} ${side.host}:${manyFiles}/ ${out}`,
    },
    {
      name: "git clone of 2000 files",
      needs: ["git"],
      command: (side, out) =>
        `GIT_SSH_COMMAND=${words(`ssh -F ${side.sshConfig}`)} git clone -q ssh://${side.host}${repository} ${out}`,
    },
  ];
}

/** A command in the workspace by `coder ssh`, or by OpenSSH. */
export function coderSsh(side: Side, command: string): string {
  return side.coder === undefined ? ssh(side, command) : `${side.coder} ssh demo -- ${words(command)}`;
}

function ssh({ before = "", sshConfig, host }: Side, command: string): string {
  return `${before} ssh -F ${words(sshConfig, host, command)}`;
}

function scp({ sshConfig }: Side): string {
  return `scp -q -r -F ${words(sshConfig)}`;
}

function sftp({ sshConfig, host }: Side, request: string): string {
  return `echo ${words(request)} | sftp -q -b - -F ${words(sshConfig, host)}`;
}
