import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BlockOptions, renderBlock } from "./block.ts";
import { unifiedDiff } from "./diff.ts";
import { mergeHostOptions, parseHostOption } from "./host-options.ts";
import { matchExecArgument, proxyWord } from "./quoting.ts";
import { sectionMarkers, splitSection, withSection } from "./section.ts";
import { parseStored, type StoredOptions, sameStored, storedLines } from "./stored-options.ts";

const stock = sectionMarkers(undefined);
const none: StoredOptions = {
  wait: "auto",
  hostPrefix: undefined,
  hostnameSuffix: undefined,
  disableAutostart: false,
  sshOptions: [],
  headers: [],
  headerCommand: undefined,
};
const base: BlockOptions = {
  name: undefined,
  launcher: ["/usr/bin/node", "/opt/coder/coder.cjs"],
  configDir: "/home/a/.config/coderv2",
  globalFlags: [],
  stored: none,
  hostPrefix: "coder.",
  hostnameSuffix: "coder",
  hostOptions: [
    { key: "ConnectTimeout", value: "0" },
    { key: "LogLevel", value: "ERROR" },
  ],
  shell: "posix",
  proxyCommand: true,
};

const hasSsh = spawnSync("ssh", ["-V"]).status === 0;

describe("the section", () => {
  const mine = `${stock.start}\nmine\n${stock.end}\n`;

  it("is added at the end, after an empty line, and nothing else changes", () => {
    for (const [before, gap] of [
      ["", ""],
      ["Host a\n", "\n"],
      ["Host a\n\n", ""],
      ["Host a", "\n\n"],
    ] as const)
      expect(withSection(splitSection(before, stock, "f"), mine)).toBe(`${before}${gap}${mine}`);
  });

  it("is replaced where it stands, line ends of Windows and blanks included", () => {
    const file = `Host a\r\n${stock.start} \r\nHost coder.*\r\n${stock.end}\r\nHost b\r\n`;
    expect(withSection(splitSection(file, stock, "f"), mine)).toBe(`Host a\r\n${mine}Host b\r\n`);
  });

  it("written by a stock CLI is the same section; one with a name is another one", () => {
    expect(stock).toEqual({
      start: "# ------------START-CODER-----------",
      end: "# ------------END-CODER------------",
    });
    const work = sectionMarkers("work");
    const file = `${mine}${work.start}\nother\n${work.end}\n`;
    expect(splitSection(file, stock, "f").section).toBe(mine);
    expect(splitSection(file, work, "f").section).toBe(`${work.start}\nother\n${work.end}\n`);
    // A stock CLI finds its markers as substrings.
    expect(work.start).not.toContain(stock.start);
    expect(work.end).not.toContain(stock.end);
  });

  it.each([
    ["two starts", `${stock.start}\n${stock.start}\n${stock.end}\n`, "is there 2 times"],
    ["two ends", `${stock.start}\n${stock.end}\n${stock.end}\n`, "is there 2 times"],
    ["no end", `${stock.start}\nHost x\n`, "without its end"],
    ["no start", `Host x\n${stock.end}\n`, "without its beginning"],
    ["the wrong order", `${stock.end}\n${stock.start}\n`, "is before the one that begins it"],
  ])("with %s is refused", (_, file, words) => {
    expect(() => splitSection(file, stock, "f")).toThrow("is damaged, the file was not changed");
    try {
      splitSection(file, stock, "f");
    } catch (error) {
      expect((error as { why?: string }).why).toContain(words);
    }
  });

  it("security 32: comes back out of any file as it was put in, byte for byte around it", () => {
    const line = fc.oneof(
      fc.uint16Array({ maxLength: 20 }).map((units) => String.fromCharCode(...units)),
      fc.constant("Host *"),
      fc.constant("# ---"),
    );
    fc.assert(
      fc.property(fc.array(line), fc.array(line), (before, after) => {
        const [head, tail] = [before, after].map((lines) =>
          lines.map((text) => `${text.replaceAll("\n", "")}\n`).join(""),
        );
        const split = splitSection(`${head}${mine}${tail}`, stock, "f");
        expect(split).toEqual({ before: head, section: mine, after: tail });
      }),
      { numRuns: 60 },
    );
  });
});

describe("stored options", () => {
  it("are written in the order and spelling of a stock CLI, and only what is not the default", () => {
    expect(storedLines(none)).toEqual([]);
    const all: StoredOptions = {
      wait: "no",
      hostPrefix: "dev-",
      hostnameSuffix: "",
      disableAutostart: true,
      sshOptions: ["ForwardAgent=yes", "SetEnv A=1"],
      headers: ["X-Gate=a b"],
      headerCommand: "get-token --for coder",
    };
    expect(storedLines(all)).toEqual([
      "# :wait=no",
      "# :ssh-host-prefix=dev-",
      "# :hostname-suffix=",
      "# :disable-autostart=true",
      "# :ssh-option=ForwardAgent=yes",
      "# :ssh-option=SetEnv A=1",
      "# :header=X-Gate=a b",
      "# :header-command=get-token --for coder",
    ]);
    expect(parseStored(renderBlock({ ...base, stored: all }))).toEqual(all);
    expect(sameStored(all, none)).toBe(false);
  });

  it("of another version are read as far as they are known", () => {
    const section = "# Last config-ssh options:\r\n# :wait=yes\r\n# :future=1\r\n# :wait=sometimes\r\n#\r\n";
    expect(parseStored(section)).toEqual({ ...none, wait: "yes" });
  });
});

describe("host options", () => {
  it.each([
    ["ForwardAgent=yes", "ForwardAgent", "yes"],
    ["ForwardAgent yes", "ForwardAgent", "yes"],
    ["SetEnv A=1 B=2", "SetEnv", "A=1 B=2"],
    ["SetEnv = A=1", "SetEnv", "A=1"],
    ["LogLevel=", "LogLevel", ""],
    ["LogLevel", "LogLevel", ""],
  ])("%j is a key and a value", (text, key, value) => {
    expect(parseHostOption(text)).toEqual({ key, value });
  });

  it.each(["", "=x", "A=1\nProxyCommand evil", "Host *", "match=all", "ProxyCommand=evil", "Include ~/x", "ключ=1"])(
    "%j is refused",
    (text) => {
      expect(() => parseHostOption(text)).toThrow("--ssh-option");
    },
  );

  it("of the user come before those of the deployment and those before ours; an empty one removes", () => {
    const merged = mergeHostOptions(
      [parseHostOption("loglevel=DEBUG"), parseHostOption("SetEnv A=1"), parseHostOption("SetEnv B=2")],
      { LogLevel: "INFO", SetEnv: "C=3", ConnectTimeout: "", ServerAliveInterval: "10" },
    );
    expect(merged).toEqual({
      options: [
        { key: "loglevel", value: "DEBUG" },
        { key: "SetEnv", value: "A=1" },
        { key: "SetEnv", value: "B=2" },
        { key: "ServerAliveInterval", value: "10" },
        { key: "StrictHostKeyChecking", value: "no" },
        { key: "UserKnownHostsFile", value: "/dev/null" },
      ],
      refused: [],
    });
  });

  it("security 32: of a hostile deployment run nothing here, read nothing and add no line", () => {
    const { options, refused } = mergeHostOptions([], {
      ProxyCommand: "evil",
      LocalCommand: "evil",
      PermitLocalCommand: "yes",
      KnownHostsCommand: "evil",
      IdentityFile: "/etc/shadow",
      ForwardAgent: "yes",
      RemoteForward: "22 localhost:22",
      UserKnownHostsFile: "/etc/passwd",
      SetEnv: "A=1\n\tProxyCommand evil",
      User: 7,
      "X\nProxyCommand evil\n": "y",
      Compression: "yes",
    });
    expect(options.map(({ key }) => key)).toEqual([
      "Compression",
      "ConnectTimeout",
      "StrictHostKeyChecking",
      "UserKnownHostsFile",
      "LogLevel",
    ]);
    expect(options[3]!.value).toBe("/dev/null");
    expect(refused).toHaveLength(11);
    expect(refused.at(-1)).toBe("X?ProxyCommand?evil?");
  });
});

describe("the block", () => {
  it("has a stanza for the prefix and one for the suffix, as a stock CLI writes them", () => {
    const proxy = "ProxyCommand /usr/bin/node /opt/coder/coder.cjs --global-config /home/a/.config/coderv2 ssh --stdio";
    expect(renderBlock(base).split("\n")).toEqual([
      stock.start,
      expect.stringMatching(/^# /),
      expect.stringMatching(/^# /),
      "#",
      "Host coder.*",
      "\tConnectTimeout=0",
      "\tLogLevel ERROR",
      `\t${proxy} --ssh-host-prefix coder. %h`,
      "",
      "Host *.coder",
      "\tConnectTimeout=0",
      "\tLogLevel ERROR",
      "",
      'Match host *.coder !exec "/usr/bin/node /opt/coder/coder.cjs connect exists %h"',
      `\t${proxy} --hostname-suffix coder %h`,
      stock.end,
      "",
    ]);
  });

  it("leaves out what has no name, carries wait, autostart and headers, and writes no ProxyCommand on request", () => {
    const stored: StoredOptions = { ...none, wait: "yes", disableAutostart: true, headers: ["A=b c"] };
    const text = renderBlock({ ...base, stored, hostnameSuffix: "", globalFlags: ["--header", "A=b c"] });
    expect(text).not.toContain("Match");
    expect(text).not.toContain("*.coder");
    expect(text).toContain(
      "coderv2 --header 'A=b c' ssh --stdio --wait=yes --disable-autostart=true --ssh-host-prefix coder. %h\n",
    );
    expect(renderBlock({ ...base, hostPrefix: "" })).not.toContain("coder.*");
    expect(renderBlock({ ...base, proxyCommand: false })).not.toMatch(/ProxyCommand|Match/);
  });

  it("writes paths of Windows with slashes, quoted where they hold blanks", () => {
    const text = renderBlock({
      ...base,
      shell: "windows",
      launcher: ["C:\\Program Files\\nodejs\\node.exe", "C:\\coder\\coder.cjs"],
      configDir: "C:\\Users\\Jörg Ä\\AppData\\Roaming\\coderv2",
    });
    expect(text).toContain(
      '\tProxyCommand "C:/Program Files/nodejs/node.exe" C:/coder/coder.cjs --global-config "C:/Users/Jörg Ä/AppData/Roaming/coderv2" ssh',
    );
    // A quote inside quotes cannot be written so that every OpenSSH reads it, so there is no check.
    expect(text).not.toContain("Match");
    expect(text).toMatch(/Host \*\.coder\n(\t.*\n)+\tProxyCommand "C:/);
  });

  it("security 32: cannot hold a path with a line break", () => {
    expect(() => renderBlock({ ...base, configDir: "/a\nProxyCommand evil" })).toThrow("cannot be written");
  });
});

describe("security 32: words of a ProxyCommand", () => {
  const nasty = fc.string({ unit: "grapheme" }).filter((text) => !/[\r\n\0]/.test(text) && text.isWellFormed());

  it("reach the program as they are, through the expansion of % and a shell", () => {
    // Expands as OpenSSH does: %% is one %, and any other % is an expansion.
    const seen = (word: string): string =>
      execFileSync("/bin/sh", ["-c", `printf %s ${proxyWord(word, "posix").replaceAll("%%", "%")}`], {
        encoding: "utf8",
      });
    for (const word of [
      "",
      "a b",
      "it's",
      '"',
      "$(id)",
      "`id`",
      "%h",
      "100%%",
      "\\",
      "ä/ö",
      "!",
      "~",
      "*",
      "--",
      "a;b&c|d",
    ])
      expect(seen(word)).toBe(word);
    fc.assert(
      fc.property(nasty, (word) => {
        expect(seen(word)).toBe(word);
      }),
      { numRuns: 60 },
    );
  });

  it("are one argument of Match exec, unless they cannot be written there", () => {
    expect(matchExecArgument(["'a b'", "connect"])).toBe("\"'a b' connect\"");
    expect(matchExecArgument(['"c d"', "connect"])).toBeUndefined();
    expect(matchExecArgument(["c\\d", "connect"])).toBeUndefined();
  });

  // Checks with ssh itself: a section that it cannot read would stop every connection to every host.
  it
    .skipIf(!hasSsh)
    .each([
      "/opt/plain",
      "/opt/a b",
      "/opt/it's",
      '/opt/say "x"',
      "/opt/back\\slash",
      "/opt/end\\",
      "/opt/%h",
      "/opt/'\"\\ %%",
      "/opt/$(id)`id`",
      "/opt/ä",
    ])("are read by ssh as they are: %s", (folder) => {
    const dir = mkdtempSync(join(tmpdir(), "coder-quoting-"));
    try {
      const file = join(dir, "config");
      const launcher = [`${folder}/node`, `${folder}/coder.cjs`];
      writeFileSync(file, `${renderBlock({ ...base, launcher, configDir: folder })}Host other\n\tUser somebody\n`);
      const setting = (host: string, name: string): string => {
        const all = execFileSync("ssh", ["-G", "-F", file, host], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "pipe"],
        });
        return new RegExp(`^${name} (.*)$`, "m").exec(all)?.[1] ?? "";
      };
      expect(setting("other", "user")).toBe("somebody");
      for (const host of ["coder.dev", "dev.coder"]) {
        const command = setting(host, "proxycommand").replaceAll("%%", "%").replaceAll("%h", host);
        const words = execFileSync("/bin/sh", ["-c", `printf '%s\\n' ${command}`], { encoding: "utf8" }).split("\n");
        expect(words.slice(0, 4)).toEqual(
          [...launcher, "--global-config", folder].map((word) => word.replaceAll("%h", host)),
        );
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe("the diff", () => {
  it("of equal texts is empty; of a changed part it shows three lines around", () => {
    expect(unifiedDiff("a\n", "a\n", "f")).toEqual([]);
    expect(unifiedDiff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nnew\n6\n7\n8\n9\n", "f")).toEqual([
      "--- f",
      "+++ f",
      "@@ -2,7 +2,7 @@",
      " 2",
      " 3",
      " 4",
      "-5",
      "+new",
      " 6",
      " 7",
      " 8",
    ]);
    expect(unifiedDiff("", "a\nb\n", "f")).toEqual(["--- f", "+++ f", "@@ -0,0 +1,2 @@", "+a", "+b"]);
    expect(unifiedDiff("a", "a\nb\n", "f")).toContain("-a\n\\ No newline at end of file");
  });
});
