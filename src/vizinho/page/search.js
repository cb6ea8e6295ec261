// The search view (in the making).

export async function show() {}

export function hide() {}
