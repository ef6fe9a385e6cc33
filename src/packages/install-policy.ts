/** What a run may install: nothing, what the lock or the mirror holds, anything. */
export type InstallPolicy = 'never' | 'locked' | 'any';

export const installPolicies: readonly InstallPolicy[] = ['never', 'locked', 'any'];
