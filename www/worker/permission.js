// Why another site's file could not be fetched. All that `fetch` says is that it failed; whether it was this page's own security
// policy that refused, an event tells.

/** Refused by the policy: origin → the policy. @type {Map<string, string>} */
const refused = new Map();
/** How long that event may be behind the failure, ms. */
const BEHIND = 50;

self.addEventListener?.("securitypolicyviolation", (event) => {
  const { blockedURI, originalPolicy } = /** @type {SecurityPolicyViolationEvent} */ (event);
  try {
    refused.set(new URL(blockedURI).origin, originalPolicy);
  } catch {
    // "eval" and the like are no addresses.
  }
});

/** Whether a policy lets the page ask this host. @param {string} policy @param {URL} url */
function names(policy, url) {
  const sources = /connect-src([^;]*)/.exec(policy)?.[1]?.trim().split(/\s+/) ?? [];
  return sources.some((source) => source === url.origin || source === url.host || (source.startsWith("*.") && url.host.endsWith(source.slice(1))));
}

/** What to do where `url` could not be fetched. @param {URL} url @returns {Promise<string>} */
export async function hintFor(url) {
  if (url.origin === self.location.origin) return "Check the connection, then retry: what has arrived is kept.";
  await new Promise((resolve) => setTimeout(resolve, BEHIND));
  const policy = refused.get(url.origin);
  const disk = "Files from your disk need no permission.";
  if (policy === undefined) return `If the connection is fine, its host must allow other sites to read it (CORS). ${disk}`;
  if (names(policy, url)) return `It sends this page on to a host that the page's security policy does not name: add that host to connect-src (serve: --model-host). ${disk}`;
  return `This page may not ask that host: start it with --model-host ${url.origin}, or add the host to connect-src in the security policy. ${disk}`;
}
