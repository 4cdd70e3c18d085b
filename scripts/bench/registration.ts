/** The users and workspaces of a bench, made over the REST API of a control plane. */

const PASSWORD = "bench-only-password-1";
/** One user may have no more than 256 clients at a time. */
const WORKSPACES_PER_USER = 250;
/** Further owners of the deployment, who may connect to every workspace. */
const OTHER_OWNERS = 2;
const ANSWER_WITHIN_MS = 60_000;
/** Concurrent requests. */
const AT_ONCE = 8;

export interface AgentLogin {
  readonly agentId: string;
  readonly token: string;
  /** Login of the workspace's owner. */
  readonly ownerToken: string;
}

export interface Registered {
  readonly agents: readonly AgentLogin[];
  /** Logins of owners of the deployment: the first has the first workspaces, the others have none. */
  readonly ownerTokens: readonly string[];
}

/** Registers `workspaces` workspaces "w0", "w1" …, each with one agent, and users for them, in a deployment without users. */
export async function register(url: string, workspaces: number): Promise<Registered> {
  const ask = (path: string, token: string, body?: object, method?: string) => request(url, path, token, body, method);
  const login = async (email: string): Promise<string> => {
    const { session_token: token } = await ask("/api/v2/users/login", "", { email, password: PASSWORD });
    return String(token);
  };
  const user = async (owner: string, username: string, roles: readonly string[]): Promise<string> => {
    const email = `${username}@example.com`;
    const fields = { email, username, password: PASSWORD, organization_ids: [] };
    await ask("/api/v2/users", owner, fields);
    if (roles.length > 0) await ask(`/api/v2/users/${username}/roles`, owner, { roles }, "PUT");
    return await login(email);
  };
  const first = { email: "bench@example.com", username: "bench", name: "Bench", password: PASSWORD, trial: false };
  await ask("/api/v2/users/first", "", first);
  const owner = await login(first.email);
  const ownerTokens = [owner];
  while (ownerTokens.length <= OTHER_OWNERS)
    ownerTokens.push(await user(owner, `owner${ownerTokens.length}`, ["owner"]));
  const users = [owner];
  while (users.length * WORKSPACES_PER_USER < workspaces) users.push(await user(owner, `bench${users.length}`, []));

  const agents: AgentLogin[] = [];
  let next = 0;
  const add = async (): Promise<void> => {
    while (next < workspaces) {
      const number = next++;
      const ownerToken = users[Math.floor(number / WORKSPACES_PER_USER)]!;
      const workspace = (await ask("/api/v2/users/me/workspaces", ownerToken, { name: `w${number}` })) as unknown as {
        readonly id: string;
        readonly latest_build: {
          readonly resources: readonly { readonly agents?: readonly { readonly id: string }[] }[];
        };
      };
      const agentId = workspace.latest_build.resources.flatMap((resource) => resource.agents ?? [])[0]?.id;
      if (agentId === undefined) throw new Error(`workspace w${number} has no agent`);
      const path = `/api/v2/workspaces/${workspace.id}/external-agent/main/credentials`;
      const { agent_token: token } = await ask(path, ownerToken);
      agents[number] = { agentId, token: String(token), ownerToken };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, add));
  return { agents, ownerTokens };
}

/** GET, or POST when there is a body. */
async function request(
  url: string,
  path: string,
  token: string,
  body?: object,
  method = body === undefined ? "GET" : "POST",
): Promise<Readonly<Record<string, unknown>>> {
  const headers = new Headers({ "Content-Type": "application/json" });
  if (token !== "") headers.set("Coder-Session-Token", token);
  const answer = await fetch(`${url}${path}`, {
    method,
    body: body === undefined ? null : JSON.stringify(body),
    headers,
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Record<string, unknown>;
}
