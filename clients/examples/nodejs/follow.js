// Prints the records of a topic and commits what was printed: node follow.js HOST:PORT TOPIC SUBSCRIPTION
//
// Goes on after the last commit, also when the service has restarted or the connection was lost.
'use strict';

const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const protobuf = require('protobufjs');
const { loadSync } = require('@grpc/proto-loader');

const PROTOS = process.env.CACHESVC_PROTOS ?? path.join(__dirname, '../../../proto');
const RETRY_MS = { first: 100, max: 10_000 };
// How a refusal says its reason, whatever its text: in google.rpc.ErrorInfo.
const Status = protobuf.parse(`syntax = "proto3";
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Any { string type_url = 1; bytes value = 2; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`, { keepCase: true }).root;

const loaded = loadSync('cachesvc/v1/log_cache.proto', {
  includeDirs: [PROTOS],
  keepCase: true,
  longs: String, // offsets are 64 bits wide
  enums: String,
  defaults: true, // what is 0 or empty is there as well
  oneofs: true,
});
const { LogCache } = grpc.loadPackageDefinition(loaded).cachesvc.v1;

function reasonOf(error) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = bytes ? Status.lookupType('Status').decode(bytes).details : [];
  const info = details.find((detail) => detail.type_url.endsWith('/google.rpc.ErrorInfo'));
  return info ? Status.lookupType('ErrorInfo').decode(info.value).reason : '';
}

function commit(client, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 30_000;
    client.Commit(request, { deadline }, (error) => (error ? reject(error) : resolve()));
  });
}

function print(batch) {
  for (const record of batch.records) {
    const value = record.value?.toString() ?? '(tombstone)'; // absent, which is not empty
    console.log(`${batch.topic}/${batch.partition}/${record.offset}\t${value}`);
  }
}

// Reads until the stream ends; calls `heard` with every event.
async function follow(client, subscription, topic, heard) {
  const stream = client.Subscribe({
    subscription,
    topics: [topic],
    mode: 'FULL_AND_INCREMENTAL',
    encoding: 'RECORDS',
  });
  let epoch;
  for await (const response of stream) { // the next one is asked for when this one is done
    heard();
    if (response.event === 'started') {
      epoch = response.started.epoch;
    } else if (response.event === 'batch') {
      const { topic, partition, incarnation, next_position: offset } = response.batch;
      print(response.batch);
      await commit(client, { subscription, epoch, positions: [{ topic, partition, incarnation, offset }] });
    }
  }
}

async function main(target = '127.0.0.1:7070', topic = 'orders', subscription = 'example-nodejs') {
  const options = { 'grpc.max_receive_message_length': -1 }; // a single record may be larger than 4 MiB
  const client = new LogCache(target, grpc.credentials.createInsecure(), options);
  for (let delay = RETRY_MS.first; ; delay = Math.min(2 * delay, RETRY_MS.max)) {
    try {
      await follow(client, subscription, topic, () => { delay = RETRY_MS.first; });
      return;
    } catch (error) {
      console.error(`${grpc.status[error.code] ?? 'FAILED'} ${reasonOf(error)}: ${error.details ?? error}`);
      if (error.code !== grpc.status.UNAVAILABLE) process.exit(1); // asking again would not help
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * delay));
  }
}

main(...process.argv.slice(2));
