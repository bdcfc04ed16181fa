// The view: what is drawn in a frame, made of the past (timeline.js) and of the present (predict.js).
//
// One's own disc is shown in the present, the others 100 ms in the past: two times in one picture. Far apart nobody
// notices. Where they meet one would see oneself bounce off a disc that is not there yet; so who comes near is shown
// more and more where the prediction has it, and where discs touch there is one time only.
import { RATE, radiusOf } from "./physics.js";
import { OVER, PLAY } from "./wire.js";

export const HUES = [15, 225, 145, 75, 300, 190, 345, 110]; // by place
let playTicks = 60 * RATE; // of a round

// rounds sets how long a round is, in seconds.
export function rounds(seconds) {
  playTicks = seconds * RATE;
}

const WARNED = 4 * 20; // ticks ahead, the shrinking of the rim is shown

// compose makes the view. present is undefined without prediction, people are Player of the server by place.
export function compose(past, present, me, people) {
  const own = present?.[me];
  const leader = leaderOf(people);
  const discs = past.discs.map((d) => {
    const person = people.get(d.id);
    const shown = d.id === me ? (own?.alive === undefined ? d : merged(d, own)) : beside(d, present?.[d.id], own);
    return {
      ...shown, hue: HUES[d.id], mine: d.id === me, name: person?.name ?? "", bot: person?.bot ?? false, away: person?.away ?? false,
      leads: d.id === leader, waiting: past.phase !== PLAY && past.phase !== OVER,
    };
  });
  const shrinking = past.phase === PLAY && past.left < (playTicks * 5) / 6;
  return { ...past, discs, shrinks: shrinking, sudden: past.phase === PLAY && past.left <= Math.floor(playTicks / 3), begins: past.phase === PLAY && past.left > playTicks - RATE, rimSoon: rimAt(past, WARNED) };
}

// merged is one's own disc: alive or not as the newest snapshot says, and where the prediction has it.
const merged = (d, own) => ({ ...d, ...own, back: d.back });

// beside is another disc: the nearer it is to one's own, the more in the present.
function beside(d, present, own) {
  if (!d.alive || !present?.alive || !own?.alive) return d;
  const reach = radiusOf(present) + radiusOf(own);
  const far = Math.hypot(present.x - own.x, present.y - own.y) / reach;
  const t = Math.max(0, Math.min(1, (2.6 - far) / 1.3));
  const near = t * t * (3 - 2 * t);
  const mix = (key) => d[key] + (present[key] - d[key]) * near;
  return { ...d, x: mix("x"), y: mix("y"), vx: mix("vx"), vy: mix("vy") };
}

// rimAt is where the rim will be, if it goes on as it does: it is at its smallest when the round ends.
function rimAt({ phase, left, rim }, ticks) {
  const smallest = 110;
  if (phase !== PLAY || left <= 0) return rim;
  return rim - ((rim - smallest) * Math.min(ticks, left)) / left;
}

// leaderOf returns the place with the most points, if it is one.
function leaderOf(people) {
  let [best, most, tied] = [-1, 0, false];
  for (const [id, { points }] of people) {
    if (points > most) [best, most, tied] = [id, points, false];
    else if (points === most) tied = true;
  }
  return tied ? -1 : best;
}
