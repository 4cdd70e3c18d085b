import { expect, test } from "vitest";
import { parseMounts, Volumes } from "./volumes.ts";

const TABLE = String.raw`
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:20 / /proc rw - proc proc rw
30 22 0:40 / /mnt/share rw - nfs4 server:/share rw
31 22 0:40 /projects /srv/projects rw - nfs4 server:/share rw
32 22 0:41 / /mnt/with\040space rw master:3 - fuse.sshfs ada@host: rw
33 30 0:42 / /mnt/share/inner rw - nfs server:/inner rw
34 22 0:43 / /run rw - tmpfs tmpfs rw
35 22 0:44 / /net rw - autofs systemd-1 rw
36 34 0:45 / /run/media rw - tmpfs tmpfs rw
37 36 0:46 / /run/media rw - fuseblk /dev/sdb1 rw
`;

const LINKS: Readonly<Record<string, string>> = {
  "/home/ada/data": "/mnt/share/ada",
  "/home/ada/up": "../../mnt/share",
  "/home/ada/loop": "loop",
  "/home/ada/chain": "data/x",
  "/var/run": "/run",
};

function volumes(table: () => string = () => TABLE) {
  const read: string[] = [];
  let now = 0;
  const found = new Volumes({
    table,
    now: () => now,
    readLink: (path) => {
      read.push(path.toString("latin1"));
      const target = LINKS[path.toString("latin1")];
      if (target === undefined) throw new Error("EINVAL");
      return Buffer.from(target, "latin1");
    },
  });
  return { found, read, later: (ms: number) => (now += ms) };
}

test.each([
  ["/etc/passwd", "8:1", false],
  ["/", "8:1", false],
  ["/proc/self/fd", "0:20", false],
  ["/mnt", "8:1", false],
  ["/mnt/share", "0:40", true],
  ["/mnt/share/a/b", "0:40", true],
  ["/mnt//share/./a", "0:40", true],
  ["/srv/projects/a", "0:40", true],
  ["/mnt/with space/a", "0:41", true],
  ["/mnt/share/inner/a", "0:42", true],
  ["/mnt/shared", "8:1", false],
  ["/home/ada/data", "0:40", true],
  ["/home/ada/data/a", "0:40", true],
  ["/home/ada/up/a", "0:40", true],
  ["/home/ada/chain", "0:40", true],
  ["/home/ada/loop", "8:1", false],
  ["/home/ada/../../mnt/share", "0:40", true],
  ["/proc/../etc", "8:1", false],
  // What is left again has been asked on the way.
  ["/mnt/share/../../etc", "0:40", true],
  ["/var/run/user", "0:43", false],
  ["/net/host/a", "0:44", true],
  ["/run/media/disk", "0:46", true],
])("%s is on %s", (path, id, maySilence) => {
  expect(volumes().found.of(path)).toEqual({ id, maySilence });
});

test("nothing on a file system that may not answer is asked", () => {
  const { found, read } = volumes();
  found.of("/home/ada/data/a/b");
  found.of("/mnt/share/a/b");
  expect(read).toEqual(["/home", "/home/ada", "/home/ada/data", "/mnt", "/mnt"]);
});

test("names need not be text", () => {
  const { found, read } = volumes();
  found.of(Buffer.from([0x2f, 0xff, 0x2f, 0xfe]));
  expect(read).toEqual(["/\xff", "/\xff/\xfe"]);
});

test("a new mount is seen within a second, and without a table nothing is known", () => {
  let table = TABLE;
  const { found, later } = volumes(() => {
    if (table === "") throw new Error("ENOENT");
    return table;
  });
  expect(found.of("/opt/x")?.id).toBe("8:1");
  table += "40 22 0:50 / /opt rw - 9p host rw\n";
  later(1_000);
  expect(found.of("/opt/x")).toEqual({ id: "0:50", maySilence: true });
  table = "";
  later(1_000);
  expect(found.of("/opt/x")).toBeUndefined();
});

test("lines of another form are left out", () => {
  expect([...parseMounts("\nfoo\n1 2 3\n - \n22 1 8:1 / / rw - ext4 a b\n").keys()]).toEqual(["/"]);
});
