// Work that is asked for before something begins, where many have come from the same network: a number that makes SHA-256
// of the challenge begin with so many zero bits. A form with data-bits is sent by itself once its work is done.
//
// SHA-256 of our own (FIPS 180-4, one block): that of the browser is asynchronous and takes five times as long for inputs
// this short, which would make it easier only for those who do not use a browser.

const primes = [];
for (let n = 2; primes.length < 64; n += 1) if (primes.every((prime) => n % prime)) primes.push(n);
const fraction = (number) => ((number % 1) * 2 ** 32) | 0;
const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const ROUNDS = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));

const turn = (word, by) => (word >>> by) | (word << (32 - by));

// The first word of the hash of one block, whose first 16 words are in `words`.
const first = (words) => {
  for (let i = 16; i < 64; i += 1) {
    const [near, far] = [words[i - 15], words[i - 2]];
    const [s0, s1] = [turn(near, 7) ^ turn(near, 18) ^ (near >>> 3), turn(far, 17) ^ turn(far, 19) ^ (far >>> 10)];
    words[i] = words[i - 16] + s0 + words[i - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = START;
  for (let i = 0; i < 64; i += 1) {
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[i] + words[i]) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  return START[0] + a;
};

// The solution, as text. The page stays usable: it works for 30 ms at a time.
export const solve = async (challenge, bits) => {
  const bytes = Uint8Array.from(atob(challenge.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const seed = new DataView(bytes.buffer, bytes.length - 32);
  const words = new Int32Array(64);
  let number = 0;
  for (;;) {
    for (const until = performance.now() + 30; performance.now() < until; ) {
      for (let tries = 0; tries < 1000; tries += 1) {
        for (let i = 0; i < 8; i += 1) words[i] = seed.getInt32(4 * i);
        words.fill(0, 9, 15);
        [words[8], words[9], words[15]] = [number, 0x80000000, 288]; // the end of 36 bytes
        if (Math.clz32(first(words)) >= bits) return `${number}`;
        number += 1;
      }
    }
    await new Promise((resume) => setTimeout(resume));
  }
};

const work = async (form) => {
  const [button, status] = [form.querySelector("button"), form.querySelector("[role=status]")];
  button.disabled = true;
  button.textContent = "Working";
  status.hidden = false;
  form.elements.solution.value = await solve(form.elements.challenge.value, Number(form.dataset.bits));
  form.submit();
};

document.querySelectorAll("form[data-bits]").forEach(work);
