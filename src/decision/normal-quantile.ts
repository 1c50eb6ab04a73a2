/** The quantile of the standard normal distribution. */

/** Newton needs 7 for 0.9999. */
const MOST_ITERATIONS = 100;

/**
 * The z below which a standard normal number lies with the given probability, by Newton's method. Starting at 0 it comes nearer from
 * one side, because the distribution function is concave above 0.
 * @param probability from 0.5 to 0.9999.
 */
export function normalQuantile(probability: number): number {
  let z = 0;
  for (let iteration = 0; iteration < MOST_ITERATIONS; iteration += 1) {
    const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    const next = z + (probability - distribution(z, density)) / density;
    if (next <= z) break;
    z = next;
  }
  return z;
}

/** Φ(z) = 1/2 + φ(z) (z + z³/3 + z⁵/(3·5) + …), Marsaglia, "Evaluating the Normal Distribution", 2004. */
function distribution(z: number, density: number): number {
  let [sum, term] = [z, z];
  for (let odd = 3; sum + term !== sum; odd += 2) {
    term *= (z * z) / odd;
    sum += term;
  }
  return 0.5 + density * sum;
}
