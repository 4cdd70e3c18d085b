/** Trusted Types: the only policy of these pages permits scripts below `/assets/worker/` of this origin. */

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

const rules = {
  createScriptURL(url: string): string {
    const { origin, pathname } = new URL(url, location.origin);
    if (origin !== location.origin || !/^\/assets\/worker\/[\w-]+\.js$/.test(pathname))
      throw new TypeError(`${url} is not a worker of these pages`);
    return url;
  },
};
const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
const policy = types?.createPolicy("coder", rules) ?? rules;

/** The address of a worker in the form that browsers accept. Throws TypeError for any other script. */
export function workerScript(url: string): string {
  return policy.createScriptURL(url);
}
