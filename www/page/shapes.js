// Outlines of the shapes that the drawing pad draws.

/** Corners of the polygons, on a unit circle around the centre, y downwards.
 * @type {Record<string, [number, number][]>} */
const CORNERS = {
  square: [[-0.71, -0.71], [0.71, -0.71], [0.71, 0.71], [-0.71, 0.71]],
  triangle: [[0, -1], [0.87, 0.5], [-0.87, 0.5]],
  diamond: [[0, -1], [0.7, 0], [0, 1], [-0.7, 0]],
  // A five-pointed star: the inner corners lie at 0.4 of the outer radius.
  star: Array.from({ length: 10 }, (_, i) => {
    const [angle, radius] = [(i * Math.PI) / 5 - Math.PI / 2, i % 2 ? 0.4 : 1];
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  }),
};

/**
 * @param {string} shape
 * @param {number} x centre @param {number} y centre @param {number} radius
 * @returns {Path2D}
 */
export function outline(shape, x, y, radius) {
  const path = new Path2D();
  const corners = CORNERS[shape];
  if (corners) {
    for (const [dx, dy] of corners) path.lineTo(x + dx * radius, y + dy * radius);
    path.closePath();
  } else if (shape === "heart") {
    const r = radius;
    path.moveTo(x, y + 0.95 * r);
    path.bezierCurveTo(x - 1.5 * r, y, x - 0.75 * r, y - 1.25 * r, x, y - 0.4 * r);
    path.bezierCurveTo(x + 0.75 * r, y - 1.25 * r, x + 1.5 * r, y, x, y + 0.95 * r);
  } else {
    path.arc(x, y, radius, 0, 2 * Math.PI);
  }
  return path;
}
