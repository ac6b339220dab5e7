// Node 20 has no EventSource of its own, so it gets the one of npm "eventsource".
const { EventSource } = require("eventsource");
const client = require("./SSEClient.js");

client.TTSEventClient.EventSource = EventSource;
module.exports = client;
