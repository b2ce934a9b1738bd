// Explains why a file of another site could not be fetched. `fetch` says only that it failed; an event tells whether
// the page's own security policy refused the request.

/** Origins that the policy refused, with the policy. @type {Map<string, string>} */
const blocked = new Map();
/** Time by which that event may follow the failure, ms. */
const EVENT_DELAY = 50;

self.addEventListener?.("securitypolicyviolation", (event) => {
  const { blockedURI, originalPolicy } = /** @type {SecurityPolicyViolationEvent} */ (event);
  try {
    blocked.set(new URL(blockedURI).origin, originalPolicy);
  } catch {
    // Values such as "eval" are no addresses.
  }
});

/** Returns whether a policy allows requests to this host. @param {string} policy @param {URL} url */
function policyAllows(policy, url) {
  const sources = /connect-src([^;]*)/.exec(policy)?.[1]?.trim().split(/\s+/) ?? [];
  return sources.some((source) => source === url.origin || source === url.host || (source.startsWith("*.") && url.host.endsWith(source.slice(1))));
}

/** Returns a hint for the person after `url` could not be fetched. @param {URL} url @returns {Promise<string>} */
export async function networkHint(url) {
  if (url.origin === self.location.origin) return "Check the connection, then retry: what has arrived is saved.";
  await new Promise((resolve) => setTimeout(resolve, EVENT_DELAY));
  const policy = blocked.get(url.origin);
  const disk = "Files from your disk need no permission.";
  if (policy === undefined) return `If the connection is fine, its host must allow other sites to read it (CORS). ${disk}`;
  if (policyAllows(policy, url)) return `It redirects this page to a host that the page's security policy does not name: add that host to connect-src (serve: --model-host). ${disk}`;
  return `The page's security policy does not allow that host: start the page with --model-host ${url.origin}, or add the host to connect-src in the policy. ${disk}`;
}
