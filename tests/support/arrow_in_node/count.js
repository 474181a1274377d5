// Counts rows with apache-arrow as it is, without a codec: node count.js HOST:PORT TOPIC LZ4|ZSTD|NONE
'use strict';

const path = require('node:path');
const arrow = require('apache-arrow');
const grpc = require('@grpc/grpc-js');
const { loadSync } = require('@grpc/proto-loader');

const loaded = loadSync('cachesvc/v1/log_cache.proto', {
  includeDirs: [path.join(__dirname, '../../../proto')],
  keepCase: true,
  enums: String,
  oneofs: true,
});
const { LogCache } = grpc.loadPackageDefinition(loaded).cachesvc.v1;

async function main(target, topic, compression) {
  const client = new LogCache(target, grpc.credentials.createInsecure());
  const stream = client.Subscribe({
    subscription: `node-${compression}`,
    topics: [topic],
    mode: 'FULL',
    arrow_compression: `ARROW_COMPRESSION_${compression}`,
  });
  let rows = 0;
  for await (const response of stream) {
    if (response.event !== 'batch') continue;
    const table = arrow.tableFromIPC(response.batch.arrow_ipc);
    for (const value of table.getChild('value')) JSON.parse(value);
    rows += table.numRows;
  }
  console.log(rows);
  client.close();
}

main(...process.argv.slice(2));
