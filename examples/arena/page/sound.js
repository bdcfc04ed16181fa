// A few sounds, made here and now: there is nothing to load. Off until somebody turns them on.

export class Sound {
  on = false;
  #audio;
  #noise;

  // toggle is called by a click or a key: browsers let no page make a sound before.
  toggle(on = !this.on) {
    this.on = on;
    if (on) {
      this.#audio ??= new AudioContext();
      this.#audio.resume();
      this.play("took");
    }
    return on;
  }

  // play plays one of the sounds; how loud is 0 to 1.
  play(name, loud = 1) {
    if (!this.on || this.#audio.state !== "running") return;
    SOUNDS[name](this, Math.min(1, loud));
  }

  // tone is a note that slides from one pitch to another and dies away.
  tone(type, from, to, seconds, loud, delay = 0) {
    const begin = this.#audio.currentTime + delay;
    const wave = this.#audio.createOscillator();
    wave.type = type;
    wave.frequency.setValueAtTime(from, begin);
    wave.frequency.exponentialRampToValueAtTime(to, begin + seconds);
    wave.connect(this.#fade(begin, seconds, loud)).connect(this.#audio.destination);
    wave.start(begin);
    wave.stop(begin + seconds);
  }

  // hiss is noise through a filter.
  hiss(pitch, seconds, loud) {
    this.#noise ??= noise(this.#audio);
    const begin = this.#audio.currentTime;
    const source = this.#audio.createBufferSource();
    source.buffer = this.#noise;
    const filter = this.#audio.createBiquadFilter();
    filter.type = "bandpass";
    filter.frequency.setValueAtTime(pitch, begin);
    source.connect(filter).connect(this.#fade(begin, seconds, loud)).connect(this.#audio.destination);
    source.start(begin, Math.random() * 0.5, seconds);
  }

  #fade(begin, seconds, loud) {
    const gain = this.#audio.createGain();
    gain.gain.setValueAtTime(loud, begin);
    gain.gain.exponentialRampToValueAtTime(0.0001, begin + seconds);
    return gain;
  }
}

function noise(audio) {
  const buffer = audio.createBuffer(1, audio.sampleRate, audio.sampleRate);
  const data = buffer.getChannelData(0);
  for (let i = 0; i < data.length; i++) data[i] = Math.random() * 2 - 1;
  return buffer;
}

const SOUNDS = {
  hit: (s, loud) => {
    s.tone("sine", 190 + 160 * loud, 70, 0.12, 0.35 * loud);
    s.hiss(2400, 0.05, 0.12 * loud);
  },
  dash: (s) => s.hiss(900, 0.22, 0.22),
  fall: (s) => s.tone("triangle", 520, 60, 0.7, 0.2),
  point: (s) => [660, 990].forEach((f, i) => s.tone("square", f, f, 0.09, 0.07, i * 0.08)),
  took: (s) => [520, 660, 880].forEach((f, i) => s.tone("sine", f, f, 0.1, 0.14, i * 0.06)),
  count: (s) => s.tone("sine", 440, 440, 0.1, 0.16),
  go: (s) => s.tone("sine", 880, 880, 0.3, 0.18),
  sudden: (s) => [0, 0.22, 0.44].forEach((d) => s.tone("sawtooth", 230, 200, 0.18, 0.08, d)),
  win: (s) => [523, 659, 784, 1047].forEach((f, i) => s.tone("triangle", f, f, 0.22, 0.14, i * 0.11)),
};
