// Reads playlists with hls-parser: a JSON list of texts on standard input, a JSON list of what it found on output.
import { parse, setOptions } from "hls-parser";

setOptions({ strictMode: true });
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const found = JSON.parse(Buffer.concat(chunks)).map((text) => {
  try {
    const playlist = parse(text);
    return {
      segments: playlist.segments.filter((segment) => segment.uri).length,
      parts: playlist.segments.reduce((sum, segment) => sum + segment.parts.filter((part) => !part.hint).length, 0),
      target: playlist.targetDuration,
      sequence: playlist.mediaSequenceBase,
      version: playlist.version,
    };
  } catch (error) {
    return { error: error.message };
  }
});
console.log(JSON.stringify(found));
