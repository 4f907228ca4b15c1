// Images in a plane: which lie within a line that was drawn, and what they have in common. No DOM.

/** Places of the points on `width` x `height` pixels, with a margin: { x, y }. */
export function placesOn({ x, y }, width, height, margin = 18) {
  const spread = (values, room) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return Float32Array.from(values, (value) => margin + ((value - low) / (high - low || 1)) * (room - 2 * margin));
  };
  return { x: spread(x, width), y: spread(y, height).map((value) => height - value) };
}

/** The points within a polygon [[x, y], ...], by the even-odd rule. */
export function pointsWithin(places, polygon) {
  const inside = (px, py) =>
    polygon.reduce((within, [x1, y1], n) => {
      const [x0, y0] = polygon[(n + polygon.length - 1) % polygon.length];
      return y1 > py !== y0 > py && px < ((x0 - x1) * (py - y1)) / (y0 - y1) + x1 ? !within : within;
    }, false);
  return Array.from(places.x.keys()).filter((n) => inside(places.x[n], places.y[n]));
}

/** The point within `reach` pixels of [x, y] that is closest, or -1. */
export function nearestPoint(places, at, reach) {
  const [x, y] = at;
  let [best, least] = [-1, reach * reach];
  places.x.forEach((px, n) => {
    const far = (px - x) ** 2 + (places.y[n] - y) ** 2;
    if (far <= least) [best, least] = [n, far];
  });
  return best;
}

/** Of chosen points: { count, classes: [{ index, count, share, usual }], channels: [{ channel, difference }] }. */
export function commonOf(points, chosen, classes) {
  return { count: chosen.length, classes: classesOf(points, chosen, classes), channels: channelsOf(points, chosen) };
}

function classesOf(points, chosen, classes) {
  const all = new Float32Array(classes);
  for (const index of points.class) if (index >= 0) all[index] += 1;
  const own = new Float32Array(classes);
  for (const n of chosen) if (points.class[n] >= 0) own[points.class[n]] += 1;
  const rows = Array.from(own, (count, index) => ({ index, count, share: count / chosen.length, usual: all[index] / points.class.length }));
  return rows.filter((one) => one.count > 0).sort((a, b) => b.count - a.count || a.index - b.index);
}

/** Channels by how far their mean over the chosen lies from that over the rest, in standard deviations over all. */
function channelsOf({ values, class: all }, chosen) {
  const count = all.length;
  const rest = count - chosen.length;
  if (!chosen.length || !rest) return [];
  const rows = Array.from(values.scale, (_, channel) => {
    const codes = values.codes.subarray(channel * count, (channel + 1) * count);
    const sum = codes.reduce((a, b) => a + b, 0);
    const squares = codes.reduce((a, b) => a + b * b, 0);
    const own = chosen.reduce((a, n) => a + codes[n], 0);
    const spread = Math.sqrt(Math.max(squares / count - (sum / count) ** 2, 0));
    return { channel, difference: spread ? (own / chosen.length - (sum - own) / rest) / spread : 0 };
  });
  return rows.sort((a, b) => Math.abs(b.difference) - Math.abs(a.difference) || a.channel - b.channel);
}
