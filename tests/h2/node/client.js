// Asks the gateway at argv[2] in every way that gRPC for JavaScript has; says what came back as one line of JSON.
// Messages come and go as bytes: argv[3] and argv[4], in base64, are a request of epm.v1 that is good and one that is not.
const grpc = require("@grpc/grpc-js");

const [address, good, bad] = [process.argv[2], ...process.argv.slice(3, 5).map((text) => Buffer.from(text, "base64"))];
const client = new grpc.Client(address, grpc.credentials.createInsecure());
const same = (bytes) => bytes;
const PREDICT = "/epm.v1.PredictionService/Predict";
const STREAM = "/epm.v1.PredictionService/StreamPredict";

function unary(path, body, options = {}) {
  return new Promise((resolve) => {
    const metadata = new grpc.Metadata();
    metadata.set("x-some-bin", Buffer.from([0, 255, 1]));
    client.makeUnaryRequest(path, same, same, body, metadata, options, (error, answer) =>
      resolve(
        error
          ? { code: error.code, details: error.details, bytes: error.metadata.get("grpc-status-details-bin").length }
          : { code: 0, answer: answer.toString("base64") },
      ),
    );
  });
}

function stream(bodies) {
  return new Promise((resolve) => {
    const answers = [];
    const call = client.makeBidiStreamRequest(STREAM, same, same);
    call.on("data", (answer) => answers.push(answer.toString("base64")));
    call.on("error", () => {});
    call.on("status", (status) => resolve({ code: status.code, answers }));
    bodies.forEach((body) => call.write(body));
    call.end();
  });
}

function left() {
  return new Promise((resolve) => {
    const call = client.makeBidiStreamRequest(STREAM, same, same);
    call.on("data", () => call.cancel());
    call.on("error", () => {});
    call.on("status", (status) => resolve(status.code));
    call.write(good);
  });
}

async function main() {
  const told = {
    unary: await unary(PREDICT, good),
    many: (await Promise.all(Array.from({ length: 200 }, () => unary(PREDICT, good)))).map((one) => one.answer),
    refused: await unary(PREDICT, bad),
    unknown: await unary("/no/such", good),
    late: await unary(PREDICT, good, { deadline: Date.now() - 1 }),
    stream: await stream(Array.from({ length: 50 }, () => good)),
    left: await left(),
    again: await unary(PREDICT, good),
  };
  client.close();
  console.log(JSON.stringify(told));
}

main();
