/** The package and the services on a real systemd: installed, started, reloaded, upgraded, removed. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { machineMissing, runBooted } from "./booted-machine.ts";
import { builtRelease, find, packagersMissing, without } from "./release.ts";

const missing = [
  ...(process.platform === "linux" && process.arch === "x64" ? [] : ["Linux on x64"]),
  ...packagersMissing,
  ...["dpkg", "useradd", "openssl"].filter((name) => find(name) === undefined),
];
if (missing.length === 0) missing.push(...(await machineMissing()));

/** Each step prints its name, then its observations. */
const SCRIPT = `
export HOME=/root CODER_FIRST_USER_PASSWORD="a password for tests" CODER_LOGIN_PASSWORD="a password for tests"
tls='--tls-enable --tls-address 127.0.0.1:443 --tls-cert-file /etc/coder/cert.pem --tls-key-file /etc/coder/key.pem'
well() { tries=0; until coder server health "$@" 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 300 ] || { journalctl --no-pager -u coder-server; exit 1; }; sleep 0.2; done; }
pid() { systemctl show --property=MainPID --value "$1"; }
subject() { openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | sed -n 's/^subject=//p'; }
certificate() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=$1 -keyout /root/key -out /root/cert 2>/dev/null; cat /root/cert >/etc/coder/cert.pem; cat /root/key >/etc/coder/key.pem; }
token() { coder external-workspaces create $1 --output json | sed -n 's/.*"auth_token": "\\([^"]*\\)".*/\\1/p'; }

dpkg --install /coder.deb
echo "@installed $(systemctl is-active coder-server coder-agent | tr '\\n' ' ')"
mkdir -p /etc/systemd/system/coder-server.service.d
printf '[Service]\\nEnvironment=CODER_STUN_ADDRESS=disable CODER_DERP_SERVER_STUN_ADDRESSES=disable\\n' >/etc/systemd/system/coder-server.service.d/test.conf
systemctl daemon-reload
systemctl start coder-server
well
echo "@server $(stat -c '%U %a' /proc/$(pid coder-server) /var/lib/private/coder-server | tr '\\n' ' ')"
echo "@exposure $(systemd-analyze security --no-pager coder-server | sed -n 's/.*level for coder-server.service: //p')"
coder login http://127.0.0.1:3000 --email owner@example.com --first-user-username owner --first-user-email owner@example.com
useradd --create-home ada
token demo >/root/token
coder agent install --agent-url http://127.0.0.1:3000 --agent-token-file /root/token --run-as ada
echo "@agent $(coder ssh demo -- 'id -un; pwd' | tr '\\n' ' ')"
echo "@secret $(stat -c '%U %a' /etc/coder/agent.env) $(systemctl cat coder-agent | grep -c -f /root/token)"
agent=$(pid coder-agent)
coder agent install --run-as ada
[ "$agent" = "$(pid coder-agent)" ] && echo "@again the same process"

certificate one
chgrp coder-server /etc/coder/key.pem && chmod 640 /etc/coder/key.pem
coder server install $tls
well --http-address "" $tls
before=$(pid coder-server)
echo "@tls $(subject)"
certificate two
systemctl reload coder-server
tries=0; until [ "$(subject)" != "CN = one" ] || [ $tries -ge 50 ]; do tries=$((tries + 1)); sleep 0.2; done
[ "$before" = "$(pid coder-server)" ] && echo "@reloaded $(subject)"

dpkg --install /coder.deb
well --http-address "" $tls
[ "$before" != "$(pid coder-server)" ] && [ "$agent" = "$(pid coder-agent)" ] && echo "@upgraded $(coder users list --column username | tail -n 1)"
coder agent install --run-as ada
[ "$agent" != "$(pid coder-agent)" ] && echo "@replaced the program, so another process"
systemctl stop coder-server
echo "@stopped $(systemctl show --property=Result --value coder-server)"
coder agent uninstall
coder server uninstall
echo "@uninstalled $(ls /etc/coder | tr '\\n' ' ')"
dpkg --purge coder
echo "@purged $(systemctl is-enabled coder-server coder-agent 2>/dev/null | tr '\\n' ' ')$(ls /usr/bin/coder 2>/dev/null) $(ls /var/lib/private/coder-server | grep -c coder.db)"
`;

describe.skipIf(missing.length > 0)(`services on a booted machine${without(missing)}`, () => {
  let deb: string;

  beforeAll(async () => {
    const release = await builtRelease();
    deb = join(release, readdirSync(release).find((name) => name.endsWith("_amd64.deb"))!);
  }, 900_000);

  it("come with the package, are confined or free as they should be, reload, survive, and leave", async () => {
    const said = await runBooted(SCRIPT, { "coder.deb": deb });
    const seen = Object.fromEntries(
      [...said.matchAll(/^@(\w+) (.*)$/gm)].map(([, step, what]) => [step, what!.trim()]),
    );
    const exposure = Number(seen["exposure"]?.split(" ")[0]);
    expect({ ...seen, exposure: exposure > 0 && exposure <= 1.5 }, said).toEqual({
      installed: "inactive inactive",
      server: "coder-server 555 coder-server 700",
      exposure: true,
      agent: "ada /home/ada",
      secret: "root 600 0",
      again: "the same process",
      tls: "CN = one",
      reloaded: "CN = two",
      upgraded: "owner",
      replaced: "the program, so another process",
      stopped: "success",
      uninstalled: "cert.pem key.pem server.env",
      purged: "1",
    });
  }, 480_000);
});
