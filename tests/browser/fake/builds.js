// The stand-in has no threads.
export const threads = false;
