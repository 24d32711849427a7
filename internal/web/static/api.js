// The REST calls of the page. The log-in's cookie goes along by itself, since
// the API is on the page's own host.

// ApiError is an answer other than 2xx, or none at all (status 0).
export class ApiError extends Error {
  constructor(status, body) {
    super(describe(status, body));
    this.status = status;
  }
}

// describe makes one sentence of {"detail": …} or {"field": ["…"]}.
function describe(status, body) {
  if (body && typeof body.detail === 'string') return body.detail;
  const reasons = body && typeof body === 'object' ? Object.values(body).flat().filter((r) => typeof r === 'string') : [];
  if (reasons.length > 0) return reasons.join(' ');
  return status === 0 ? 'The server cannot be reached.' : `The server answered ${status}.`;
}

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body ? { 'Content-Type': 'application/json', Accept: 'application/json' } : { Accept: 'application/json' },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0);
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, answer);
  return { answer, response };
}

export async function rooms() {
  return (await call('GET', '/api/rooms/')).answer.rooms;
}

export async function sessions() {
  return (await call('GET', '/api/chats/')).answer.sessions;
}

// createSession returns the new session's URI.
export async function createSession() {
  return (await call('POST', '/api/chats/', {})).answer.uri;
}

export async function joinSession(uri) {
  await call('PATCH', `/api/chats/${encodeURIComponent(uri)}/`, {});
}

const PAGE = 50;

// history reads the newest messages of a session, oldest first, or the page
// that an earlier answer's `older` names. `older` is null at the beginning.
export async function history(uri, older) {
  const path = older ?? `/api/chats/${encodeURIComponent(uri)}/messages/?limit=${PAGE}`;
  const { answer, response } = await call('GET', path);
  return { messages: answer.messages, older: linkTo(response, 'prev') };
}

// linkTo is the path of the Link header's target of that relation, or null.
function linkTo(response, rel) {
  for (const part of (response.headers.get('Link') ?? '').split(/,\s*(?=<)/)) {
    const match = /^<([^>]*)>(.*)$/.exec(part.trim());
    if (!match || !new RegExp(`;\\s*rel="?${rel}"?`).test(match[2])) continue;
    // The path alone: the server may know itself by another name than the page.
    const url = new URL(match[1], response.url);
    return url.pathname + url.search;
  }
  return null;
}
