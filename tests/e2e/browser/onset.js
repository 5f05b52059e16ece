// Says when a beep begins: the first loud sample after half a second without one, in seconds of the context's
// clock. As tests/support/pictures.py hears it, whose beep is a tone of half the full scale.
const LOUD = 0.1;
const QUIET_SECONDS = 0.5;

class Onset extends AudioWorkletProcessor {
  constructor() {
    super();
    this.quiet = 0;
  }

  process([input]) {
    const samples = input[0] ?? new Float32Array(128);
    samples.forEach((sample, index) => {
      if (Math.abs(sample) < LOUD) {
        this.quiet += 1;
        return;
      }
      if (this.quiet > QUIET_SECONDS * sampleRate) this.port.postMessage((currentFrame + index) / sampleRate);
      this.quiet = 0;
    });
    return true;
  }
}

registerProcessor("onset", Onset);
