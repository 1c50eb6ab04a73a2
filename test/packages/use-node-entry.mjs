/** Uses the entry point for Node: `node use-node-entry.mjs ORIGIN FOUND|MISSING`, by whether undici is installed. */
const [, , origin, undici] = process.argv;
try {
  const { ProbeClient } = await import('@diffusion-probe/client/node');
  const client = new ProbeClient(origin, { deadlineMs: 30_000 });
  const models = await client.models();
  await client.close();
  if (undici !== 'FOUND' || !models?.length) throw new Error(`unexpected models: ${models?.length}`);
} catch (error) {
  const said = `${error.code} ${error.message}`;
  if (undici !== 'MISSING' || !/Cannot find (?:package|module).*undici|runtime is Bun/.test(said))
    throw error;
  process.stdout.write(`  as expected: ${error.message.split('\n')[0]}\n`);
}
