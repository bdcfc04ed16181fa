// Heights of very many rows, and where each of them begins: sums in a binary indexed tree, so that
// a hundred thousand rows cost no more than a few.
export class Heights {
  #heights = new Float32Array(64);
  #sums = new Float64Array(65); // #sums[i] is the sum of the (i & -i) heights that end at row i - 1
  #estimate;
  size = 0;

  // estimate is the height of a row that nobody has measured.
  constructor(estimate) {
    this.#estimate = estimate;
  }

  // resize makes it so many rows: new ones at the end, or fewer.
  resize(count) {
    this.size = Math.min(this.size, count);
    if (count > this.#heights.length) {
      const room = Math.max(count, this.#heights.length * 2);
      const [heights, sums] = [new Float32Array(room), new Float64Array(room + 1)];
      heights.set(this.#heights);
      sums.set(this.#sums);
      [this.#heights, this.#sums] = [heights, sums];
    }
    while (this.size < count) {
      const i = ++this.size;
      this.#heights[i - 1] = this.#estimate;
      this.#sums[i] = this.#estimate;
      for (let part = 1; part < (i & -i); part <<= 1) this.#sums[i] += this.#sums[i - part];
    }
  }

  get(row) {
    return this.#heights[row];
  }

  set(row, height) {
    const change = height - this.#heights[row];
    if (change === 0) return;
    this.#heights[row] += change;
    for (let i = row + 1; i <= this.size; i += i & -i) this.#sums[i] += change;
  }

  // top is where a row begins: the sum of the heights before it.
  top(row) {
    let sum = 0;
    for (let i = row; i > 0; i -= i & -i) sum += this.#sums[i];
    return sum;
  }

  // rowAt returns the row in which a point is; the first or last for one outside.
  rowAt(y) {
    let row = 0;
    let step = 1;
    while (step * 2 <= this.size) step *= 2;
    for (; step > 0; step >>= 1) {
      if (row + step <= this.size && this.#sums[row + step] <= y) {
        row += step;
        y -= this.#sums[row];
      }
    }
    return Math.min(row, Math.max(0, this.size - 1));
  }
}
