/** Returns the adapter's name. @returns {Promise<string>} empty where there is no adapter */
export function adapterName(): Promise<string>;
/** Returns the adapter's limits. @returns {Promise<{ maxBufferSize: number } | null>} null where there is no adapter */
export function adapterLimits(): Promise<{
    maxBufferSize: number;
} | null>;
