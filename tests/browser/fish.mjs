// Drawings of fish: a body, a tail and an eye, in other places, sizes and colours each.

/** Returns a generator of numbers from 0 to 1. @param {number} seed */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    // Numerical Recipes' linear congruential generator.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const COLOURS = ["#dc2626", "#f58c19", "#2da03c", "#285adc", "#8c37af"];

/** Returns drawings as SVG. @param {number} count @param {number} [seed] */
export function fishDrawings(count, seed = 7) {
  const next = random(seed);
  return Array.from({ length: count }, () => {
    const [cx, cy, r] = [160 + next() * 128, 150 + next() * 148, 60 + next() * 50];
    const colour = COLOURS[Math.floor(next() * COLOURS.length)];
    const [flat, turn, side] = [0.45 + next() * 0.2, next() * 30 - 15, next() < 0.5 ? -1 : 1];
    const tail = `${cx - r * 0.8},${cy} ${cx - r * 1.6},${cy - r * 0.55} ${cx - r * 1.6},${cy + r * 0.55}`;
    return `<svg xmlns="http://www.w3.org/2000/svg" width="448" height="448" viewBox="0 0 448 448"><rect width="448" height="448" fill="#f0f0ee"/><g transform="rotate(${turn} ${cx} ${cy}) translate(${side < 0 ? 2 * cx : 0} 0) scale(${side} 1)"><ellipse cx="${cx}" cy="${cy}" rx="${r}" ry="${r * flat}" fill="${colour}"/><polygon points="${tail}" fill="${colour}"/><circle cx="${cx + r * 0.6}" cy="${cy - r * 0.12}" r="${r * 0.09}" fill="#16161a"/></g></svg>`;
  });
}
