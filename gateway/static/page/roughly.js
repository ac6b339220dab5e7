/** A duration in its two largest units. */

export function roughly(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  let rest = Math.floor(seconds);
  return (at < 0 ? [["s", 1]] : units.slice(at, at + 2)).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return `${count} ${unit}`;
  }).join(" ");
}
