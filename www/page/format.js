// Formats quantities for people: bytes, counts, rates and durations.

/** Formats a size in decimal units. @param {number} bytes */
export function formatBytes(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** Formats a large count, such as a number of parameters. @param {number} count */
export function formatCount(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} billion`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} million`;
  return count.toLocaleString("en");
}

/** Formats a rate with three digits, or with all digits before the point. @param {number} rate per second */
export function formatRate(rate) {
  if (rate >= 100) return Math.round(rate).toLocaleString("en");
  return rate >= 0.01 ? String(Number(rate.toPrecision(rate >= 10 ? 3 : 2))) : "less than 0.01";
}

/** Formats a duration in the unit that suits it. @param {number} ms */
export function formatDuration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} minutes` : `${(ms / 3_600_000).toFixed(1)} hours`;
}
